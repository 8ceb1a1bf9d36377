"""The store over PostgreSQL, for those who outgrow one file."""
