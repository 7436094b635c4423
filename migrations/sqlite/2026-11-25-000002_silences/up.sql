-- The longest that nobody said anything about a job while its latest attempt ran, in milliseconds.
ALTER TABLE job ADD COLUMN longest_silence_ms INTEGER NOT NULL DEFAULT 0;
