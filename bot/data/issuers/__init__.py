"""The issuers' own files: net asset values, shares outstanding, distributions and sector weights."""
