"""Networks and their files: built, trained, pretrained, frozen; and profile tables that another tool made."""
