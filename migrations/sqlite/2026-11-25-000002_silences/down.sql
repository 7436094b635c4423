ALTER TABLE job DROP COLUMN longest_silence_ms;
