"""Teachers and operators who may sign in."""

from __future__ import annotations

from sqlalchemy import insert, select

from bot.store.database import Database
from bot.tables import User


class Staff(Database):
    """Users by name."""

    async def add_user(self, name: str, password_hash: str, role: str) -> bool:
        """False when the name is taken."""
        async with self.writing() as session:
            if await session.scalar(select(User.id).where(User.name == name)) is not None:
                return False
            await session.execute(insert(User).values(name=name, password=password_hash, role=role))
        return True

    async def user(self, name: str) -> User | None:
        async with self.reading() as session:
            return await session.scalar(select(User).where(User.name == name))

    async def users(self) -> list[User]:
        async with self.reading() as session:
            return list((await session.scalars(select(User).order_by(User.name))).all())
