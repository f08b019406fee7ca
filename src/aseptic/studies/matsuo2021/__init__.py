"""Matsuo and Takemoto (2021): targeted and non-targeted backdoors in COVID-Net, and their survival."""
