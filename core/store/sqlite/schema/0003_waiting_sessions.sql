-- The oldest job of any session is found without a look at each of them.
CREATE INDEX duroxide_jobs_sessions_waiting ON duroxide_jobs (visible_at) WHERE token IS NULL AND session <> '';
