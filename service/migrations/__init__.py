"""The history of both schemas, as Alembic revisions: log/ for log.db, service/ for service.db."""
