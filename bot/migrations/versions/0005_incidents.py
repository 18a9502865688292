"""who looks after an incident, who was told of it, and how it was closed"""

import sqlalchemy as sa
from alembic import op

import bot.tables

revision = "0005"
down_revision = "0004"

MOMENTS = ("seen_at", "next_alert_at", "closed_at")
NAMES = ("seen_by", "closed_by")
INDEX = "ix_incidents_next_alert_at"


def upgrade() -> None:
    for name in MOMENTS:
        op.add_column("incidents", sa.Column(name, bot.tables.Moment(timezone=True), nullable=True))
    for name in NAMES:
        op.add_column("incidents", sa.Column(name, sa.String(80), nullable=True))
    op.add_column("incidents", sa.Column("told", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("incidents", sa.Column("note", sa.Text(), nullable=True))
    op.create_index(INDEX, "incidents", ["next_alert_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "incidents")
    for name in ("note", "told", *NAMES, *MOMENTS):
        op.drop_column("incidents", name)
