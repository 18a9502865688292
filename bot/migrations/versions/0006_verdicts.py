"""the safety filter's verdict on what it refused, and whether an alarm was right"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("answers", sa.Column("verdict", sa.JSON(), nullable=True))
    op.add_column("incidents", sa.Column("outcome", sa.String(12), nullable=True))


def downgrade() -> None:
    op.drop_column("incidents", "outcome")
    op.drop_column("answers", "verdict")
