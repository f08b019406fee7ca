"""aseptic: can this medical-imaging model be fooled, and has it already been infected?"""

__version__ = "0.1.0"
