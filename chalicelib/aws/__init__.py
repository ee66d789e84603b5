"""The only room that imports boto3: one file a port."""
