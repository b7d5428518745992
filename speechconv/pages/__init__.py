"""Pages that a person reads: one HTML file each, with nothing to load, and the same bytes for the same facts.

document    the page itself: its head, its style, what it may do
page        what stands on it: sections, cards, tables, numbers
chart       charts as inline SVG
png         heat maps as pictures
"""
