DROP TABLE recovery_change;
DROP TABLE late_result;
