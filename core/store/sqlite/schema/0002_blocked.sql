-- Why instances wait for other code. A row counts as long as its turn is that of the instance: the next commit voids it.
CREATE TABLE duroxide_blocked (
    instance_id INTEGER PRIMARY KEY,
    turn        BLOB    NOT NULL,
    reason      TEXT    NOT NULL,
    at          TEXT    NOT NULL, -- file:line of the user's code
    since       INTEGER NOT NULL
);
