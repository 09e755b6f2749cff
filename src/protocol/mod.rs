//! Placeholder line replaced by the room's page.
