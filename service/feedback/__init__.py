"""What customers say: taken in by POST /v1/feedback, told by GET /v1/feedback/{id}."""
