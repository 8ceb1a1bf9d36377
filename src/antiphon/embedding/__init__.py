"""Vectors of texts: from an endpoint that speaks OpenAI's embeddings, or from a small model in this process."""
