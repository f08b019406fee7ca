"""Feng et al. (2022), FIBA: frequency-injection backdoors in three tasks."""
