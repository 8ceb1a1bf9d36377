"""Signing: the keys of receipts, and the files in which receipts stand beside the database."""
