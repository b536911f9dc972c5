"""How far the surroundings of a row reach, in rows on either side within its document."""

NEAR, WIDE = 1, 4
