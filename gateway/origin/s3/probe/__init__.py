"""What an S3 origin really does: asked of it on scratch keys, which are removed again."""
