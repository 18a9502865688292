"""The composition root: Settings in, running services out. The one place that names concrete classes."""

from bot.compose.answering import Opened, opened_recall, opened_tutor
from bot.compose.books import opened_library, prepared_vectors
from bot.compose.generating import TranslatedGenerator, own_engine, start_engine
from bot.compose.places import PREPARED, added_books, classifiers, shelf, shelves
from bot.compose.running import Role, Services, opened_store, running
from bot.compose.screening import message_reader, opened_safety

__all__ = [
    "PREPARED",
    "Opened",
    "Role",
    "Services",
    "TranslatedGenerator",
    "added_books",
    "classifiers",
    "message_reader",
    "opened_library",
    "opened_recall",
    "opened_safety",
    "opened_store",
    "opened_tutor",
    "own_engine",
    "prepared_vectors",
    "running",
    "shelf",
    "shelves",
    "start_engine",
]
