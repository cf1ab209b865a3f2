"""Ready-made single cells: crops that exist already are packed as the rule `crops` packs those that it cuts."""
