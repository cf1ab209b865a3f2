"""The terms of the page in one sentence each. `docs/glossary.md` has these terms and further ones."""

TERMS = (
    ("aligned profile", "A profile after feature selection and alignment, so wells of all plates can be compared."),
    ("AP, mAP", "Average precision and its mean: high when a treatment's replicates are each other's nearest wells."),
    ("batch", "Plates that were made together."),
    ("chance level", "The value of a score to expect when profiles contain no signal."),
    ("consensus profile", "One profile per treatment, averaged over its replicate wells."),
    ("crop", "A square around a cell."),
    ("encoder", "What turns images into features: a trained network, an untrained one, or classical features."),
    ("field, site", "One position of the microscope in a well, with all channels."),
    ("negative control", "A well without active treatment, for example with DMSO."),
    ("normalised profile", "A profile relative to the negative controls of its plate."),
    (
        "NSC, NSCB",
        "Share of treatments whose nearest neighbour of another compound has the same mechanism; NSCB: of "
        "another batch too.",
    ),
    ("perturbation, treatment", "A compound at a concentration, or a gene; replicates share it."),
    ("profile", "The vector of features of a well."),
    ("q-value", "A p-value corrected for the number of tests: the expected share of false discoveries."),
    ("sphering (whitening)", "A transform after which the controls' features are uncorrelated, with unit variance."),
    ("tile", "A square block of a field that an encoder sees, cell or not."),
    ("untrained twin", "The network of an encoder with its initial weights: what training must surpass."),
    ("view", "What an encoder takes as one input: a tile or a square around a cell."),
)
