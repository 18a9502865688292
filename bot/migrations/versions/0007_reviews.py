"""reviews found with their time, so that a running service can look for new ones every other second"""

from alembic import op

revision = "0007"
down_revision = "0006"

OLD, NEW = "ix_answers_review", "ix_answers_review_reviewed_at"


def upgrade() -> None:
    op.create_index(NEW, "answers", ["review", "reviewed_at"])
    op.drop_index(OLD, "answers")


def downgrade() -> None:
    op.create_index(OLD, "answers", ["review"])
    op.drop_index(NEW, "answers")
