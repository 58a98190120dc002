"""The service behind HTTPS: the endpoint over the pipeline, its first start, its end."""
