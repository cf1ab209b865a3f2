"""Networks and their files (built, trained, pretrained, frozen, of one's own), and profile tables of other tools."""
