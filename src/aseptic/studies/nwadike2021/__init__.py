"""Nwadike, Miyawaki, Sarkar, Maniatakos and Shamout (2021): few-pixel backdoors of chest X-ray models."""
