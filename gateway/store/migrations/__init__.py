"""The store's schema as numbered steps; a step that was released is never edited."""
