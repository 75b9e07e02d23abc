"""Machines made by ETSI Open Source MANO (OSM): ordered, made, read, removed. How they are used is no business here."""
