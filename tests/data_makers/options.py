"""Sections of the config for tests: the schema's defaults, with what a test changes."""

from wellspring.screen import config, sections


def options(section: str, **changes: object):
    """Return the dataclass of a section, as `options("survey", max_excluded=0.5)`; nested changes are merged.

    Values are not checked against their ranges, so that a test may draw fewer samples than a screen should.
    """
    complete = config.fill({"encoders": {"any": {}}, section: changes})
    return sections.read(getattr(sections, section.capitalize()), complete[section])


def encoder(**changes: object) -> sections.Encoder:
    """Return an entry of `encoders`, as `encoder(kind="simclr", steps=10)`; `like` may name a preset."""
    return sections.read(sections.Encoder, config.fill({"encoders": {"any": changes}})["encoders"]["any"])
