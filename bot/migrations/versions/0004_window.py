"""who was asked to write again, for answers that came too late; room for the longest ids that Meta gives to users"""

import sqlalchemy as sa
from alembic import op

import bot.tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("invited_at", bot.tables.Moment(timezone=True), nullable=True))
    with op.batch_alter_table("conversations") as table:
        table.alter_column("address", existing_type=sa.String(120), type_=sa.String(200))


def downgrade() -> None:
    with op.batch_alter_table("conversations") as table:
        table.alter_column("address", existing_type=sa.String(200), type_=sa.String(120))
    op.drop_column("conversations", "invited_at")
