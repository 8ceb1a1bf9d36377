-- How large the pages of the index of texts are: small ones, since the marks of deleted rows that stand next to each other
-- lie on pages next to each other, and each mark writes its page anew (docs/decisions/0009).

-- scope: system, a setting of the table.
INSERT INTO texts (texts, rank) VALUES ('pgsz', 1000);
