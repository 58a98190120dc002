"""How KMS is spoken to over HTTP: AWS JSON 1.1, and an unmodified boto3 client in this process."""
