"""consent, blocking and forgetting; what is offered under a reply"""

import sqlalchemy as sa
from alembic import op

import bot.tables

revision = "0003"
down_revision = "0002"

MOMENTS = ("consented_at", "consent_asked_at", "blocked_at")


def upgrade() -> None:
    for name in MOMENTS:
        op.add_column("conversations", sa.Column(name, bot.tables.Moment(timezone=True), nullable=True))
    op.add_column("conversations", sa.Column("forget_after", bot.tables.Key, nullable=True))
    for name in ("choices", "menu"):
        op.add_column("outbox", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    _thumbs_as_choices()
    op.drop_column("outbox", "feedback")


def _thumbs_as_choices() -> None:
    """Parts still on their way keep their thumbs."""
    outbox = sa.table(
        "outbox",
        sa.column("id", sa.BigInteger()),
        sa.column("answer_id", sa.String()),
        sa.column("feedback", sa.Boolean()),
        sa.column("state", sa.String()),
        sa.column("choices", sa.JSON()),
    )
    waiting = sa.select(outbox.c.id, outbox.c.answer_id).where(outbox.c.feedback, outbox.c.state == "sending")
    for part_id, answer_id in op.get_bind().execute(waiting).all():
        thumbs = [["\N{THUMBS UP SIGN}", f"/rate up {answer_id}"], ["\N{THUMBS DOWN SIGN}", f"/rate down {answer_id}"]]
        op.execute(outbox.update().where(outbox.c.id == part_id).values(choices=thumbs))


def downgrade() -> None:
    op.add_column("outbox", sa.Column("feedback", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("choices", "menu"):
        op.drop_column("outbox", name)
    for name in (*MOMENTS, "forget_after"):
        op.drop_column("conversations", name)
