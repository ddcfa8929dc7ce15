"""Teaches what models/ knows: data in, one bundle out. Never imports service."""
