"""Networks and their files (built, trained, pretrained, frozen, custom), and profile tables of other tools."""
