"""The functions of `import wellspring as ws`: arrays and pandas frames in and out, by the code that the rules run."""
