"""The sentences of the notes of profiles, alignments and scores, a part of those of `wellspring.report.wording`."""

from collections.abc import Callable, Mapping

from wellspring.io.phrases import count, plural

Values = Mapping[str, object]
Sentence = str | Callable[[Values], str]

_UNITS = {"controls": "negative controls", "wells": "wells", "wells_with_count": "wells with a cell count"}
_INSTEAD = {
    "standardised": "features are standardised instead, each for itself",
    "pooled": "the fit of all wells is used instead",
    "unchanged": "profiles are left unchanged",
}
_STEPS = {
    "select": "selection of features",
    "well_position": "correction for well position",
    "cell_count": "correction for cell count",
    "limit": "limit on extreme values",
    "rank_normal": "rank normalisation",
    "standardize": "standardisation",
    "sphere": "sphering",
    "coral": "CORAL (batches matched to each other)",
    "harmony": "Harmony (batches matched to each other)",
}
_HALVED = {
    "harmony": "harmony cannot be applied to wells that it did not see",
    "no_other_plate_of_group": "no other plate of their group",
    "replicates_on_one_plate": "replicates on one plate",
}
_POPULATIONS = {
    "mechanisms": "mechanisms (or compounds without one)",
    "compounds": "compounds",
    "controls": "negative controls",
    "plates": "plates",
    "items": "independent units",
}
_ON = {"negcon": "negative controls", "all": "wells"}
_EVERY = {"negcon": "the negative controls", "all": "all wells"}


def _title(metric: str) -> str:
    """Return the title of a metric, or its name if it is unknown."""
    from wellspring.evaluate.metrics import METRICS  # the import takes a second, which each start of a run would wait

    return next((one.title for one in METRICS if one.name == metric), metric)


def step(values: Values) -> str:
    """Return the name of a step of the alignment, and the wells on which it is fitted, where the note names them."""
    name, group = str(values["step"]), values.get("group")
    name = _STEPS.get(name, name)
    return name if group is None else f"{name} of {'all wells together' if group == '*' else group}"


def _groups(column: str, groups: object, labels: object) -> str:
    if not labels:
        return "no treated well has the label"
    found = f"{count(int(str(groups)), column)} and {count(int(str(labels)), 'label')}"
    return f"needs two {plural(column)} and two labels, found {found}"


# `notes` among the values has further notes as text; `wording.words` puts them into words first.
PROFILE: dict[str, Sentence] = {
    "no_foreground_tile": "no tile with foreground",
    "no_cells": "no cells",
    "no_table_row": "no row in the table",
    "implausible_fields": "implausible segmentation of {fields:field}: {notes}",
    "no_finite_embedding": "no finite embedding",
    "no_embedding": "no embedding",
    "all_sites_excluded": "all sites excluded ({planes:image}: {notes})",
    "too_few_to_normalise": lambda values: (
        f"{values['found']} {_ON[str(values['on'])]} with a profile, {values['needed']} needed to normalise"
    ),
    "plate_excluded": "plate excluded: {notes}",
    "plate_left_out": "plate {plate} left out: {notes}",
    "no_plate_to_join": "no plate to join",
    "features_of_some_plates": "{features:feature} left out, which {plates:plate} lack: {names}; {kept} kept",
    "features_by_rule": lambda values: (
        f"{values['features']} features of the table, chosen by the rule {values['rule']}; "
        + (
            f"{values['left']} numeric columns are not features: {values['names']}"
            if values["left"]
            else "no numeric column is left out"
        )
    ),
    "decided_by_majority": lambda values: (
        f"auto: {values['classical']} of {values['total']} features have names of classical features: "
        + (f"views are aggregated by {values['operation']}, " if values["operation"] != "none" else "")
        + f"plates normalised by {values['normalise']}"
    ),
    "values_missing": "{values} values are not finite, in {features:feature} and {wells:well}; {empty:feature} without "
    "any value. Means and medians leave them out; alignment and scores drop features with too many and fill other gaps",
    "not_normalised": "the table does not look normalised: its controls are not centred at 0 with a spread of 1; "
    "normalise it first, or set --normalise auto",
    "labels_not_split": "labels seem to hold several classes, as {label!r}, but are compared as whole texts: "
    "--separator '{separator}' compares their parts",
    "already_normalised": lambda values: (
        f"the table looks normalised already: {100 * float(str(values['share'])):.0f} % of its features are centred at "
        f"0 with a spread near 1 in {_EVERY[str(values['on'])]}; set profile.normalise: none to use it as it is "
        "(`wellspring score`: leave out --normalise)"
    ),
}
ALIGN: dict[str, Sentence] = {
    "wells_left_out_of_fit": "plate {plate}: {wells} of {total:well} not used for the fit, beyond {limit:g} spreads of "
    "the controls in {features:feature}, most in {feature} ({deviations:.3g} spreads)",
    "plate_left_out_of_fit": "plate {plate} left out of the fit of {group}: it multiplies the largest variance of the "
    "controls by {ratio:.3g}, more than {limit:g}",
    "no_spread_after_alignment": "the aligned profiles have no spread: {after:.3g} after alignment, {before:.3g} "
    "before, in {wells:well}",
    "features_kept": "{kept} of {total:feature} kept",
    "on_blocklist": "on the blocklist",
    "not_finite": "not finite in {wells} of {total:well}",
    "near_constant": "near constant: the same value in {wells} of {total:well}",
    "few_values": "few values: ratio {ratio:.3g} of the two most common, {distinct:.3g} distinct per well",
    "no_spread_in_controls": "no spread in the controls",
    "large_value": "a value of {value:.4g} in a well",
    "correlated": "correlated with {with} (r = {r:.3f}, allowed {allowed:g})",
    "sphere_fitted": "{step}: fitted on {controls:negative control} ({method}, {directions:direction}, largest "
    "variance {variance:.4g}, regularisation {regularisation:.4g})",
    "too_few_for_step": lambda values: (
        f"{step(values)}: {values['found']} {_UNITS[str(values['unit'])]}, and {values['needed']} are needed; "
        f"{_INSTEAD[str(values['instead'])]}"
    ),
    "no_spread_among_controls": "{step}: no spread among {found:negative control}; features are standardised instead, "
    "each for itself",
    "scale_fitted": "{step}: {wells:well}",
    "counts_fitted": "{step}: {wells:well} with {low:.0f} to {high:.0f} cells",
    "single_count": lambda values: (
        f"{step(values)}: {values['wells']} wells with the same cell count; {_INSTEAD[str(values['instead'])]}"
    ),
    "batches_matched": "{step}: {matched} of {total} batches matched",
    "single_batch": "{step}: {column} has a single value; profiles are left unchanged",
    "harmony_fitted": "{step}: {wells:well} with {batches:value} of {column}, {clusters:cluster}; scores are not "
    "cross-fitted",
    "ranks_fitted": "{step}: ranks of {wells:well}",
    "positions_fitted": "{step}: {positions:position} of {wells:well}",
    "positions_shrunk": "{step}: a median share of {share:.2f} of the positions' deviations is subtracted",
    "treatment_fixed_to_position": lambda values: (
        f"{step(values)}: {values['fixed']} of {values['total']} positions of treatments hold the same treatment on "
        f"every plate: "
        + ("the step subtracts its effect" if values["subtracted"] else "it keeps the effect of its position")
    ),
}
CURVES: dict[str, Sentence] = {
    "curve_few_doses": "{found:dose} above 0, a curve needs {needed}",
    "curve_few_wells": "{found:well} with a profile, a curve needs {needed}",
    "curve_no_axis": "{found:replicate} with a profile at the highest dose: 2 are needed, and 4 controls on their "
    "plates, because each well is judged by an axis that other wells define",
    "curve_no_effect": "no effect of the dose: a curve fits no better than a constant (F test, p = {p})",
    "curve_above_doses": "half of the effect is not reached at the highest dose, {limit}",
    "curve_below_doses": "more than half of the effect is reached at the lowest dose already, {limit}",
    "bmc_below_doses": "extrapolated: below the lowest dose, {limit}",
    "bmc_above_doses": "extrapolated: above the highest dose, {limit}",
}

EVALUATE: dict[str, Sentence] = {
    # how a value was computed
    "sampled": "computed for {taken} of {total} {unit}, drawn at random",
    "cross_fitted": "cross-fitted: plates are aligned with the controls of other plates, in {folds} folds; each fit "
    "has at least {percent} % of the controls of the published alignment, so published profiles may be better",
    "cross_fitted_by_halves": lambda values: (
        f"cross-fitted by halves of the controls: {values['plates']} of {values['total']} plates "
        f"({_HALVED[str(values['reason'])]})"
    ),
    "two_halves": "mean of two halves of the negative controls; p is the larger of the two",
    "labels_held_out": "training read the labels of other compounds: the {judged} of {total:compound} that are judged "
    "gave none",
    "permuted": "mean of {rounds} permutations of mechanisms over compounds; the interval is their 95 % range; "
    "p = {p:.3g}",
    "by_cell_line": "judged in each of {lines:cell line}, then joined",
    "several_labels": "a compound may have several of the {labels:label}; sharing one is a match",
    "gap": "share of right labels taken from the same group, on other plates, minus that from other groups",
    "own_axis": "axis from the negative controls to the compound's highest dose, fitted without the well it places",
    "axis": "axis between the means of the controls, fitted on all rows but one and used for that row",
    "gaps_filled": "{values} missing values in {features:feature} and {wells:well} filled with the median of the "
    "plate's controls",
    "features_missing": "{features} of {total:feature} left out: too many wells lack them",
    "wells_missing": "{wells} of {total:well} without a score: most of their features are missing",
    "profile_zero": "{wells} of {total:well} without a score: all features of their profiles are zero, so that they "
    "have no direction",
    "profile_constant": "{wells} of {total:well} without a correlation (grit, percent replicating and matching): all "
    "features of their profiles have the same value",
    "controls_without_profile": "none of {found:negative control} has a profile that can be compared",
    # the layout alone could give it
    "treatment_fixed_to_wells": lambda values: (
        "perturbation and position coincide: each treatment has the same wells on all plates"
        if values["fixed"] == values["total"]
        else f"perturbation and position coincide for {values['fixed']} of {values['total']} treatments"
    ),
    "position_few_controls": "not adjusted for position on {plates} of {total:plate}: fewer than {needed} negative "
    "controls to estimate it (place at least as many, in several rows and columns and at the edge)",
    "position_controls_not_spread": "not adjusted for position on {plates} of {total:plate}: the negative controls do "
    "not differ in row, column and edge (place them in several rows and columns, at the edge and inside)",
    "position_far_from_controls": "{wells} of {total:treated well} are too far from the negative controls for an "
    "effect of position to be estimated (place controls on all sides of the plate)",
    "dose_fixed_to_column": "dose and column coincide: a gradient across the plate would look like a dose response",
    # what limits a value
    "too_few_groups_for_interval": lambda values: (
        f"no interval: it needs {values['needed']} {_POPULATIONS[str(values['population'])]}, found {values['found']}"
    ),
    "chance_known_roughly": "no interval: the chance level of plates that were centred on their controls is known to "
    "about 0.01 only, too roughly for an interval of this score",
    "single_mechanism": "there is a single mechanism, so every prediction is right",
    "mechanism_in_one_batch": "{treatments:treatment} left out: a mechanism that occurs in one batch only",
    "mechanism_of_one_compound": "no other compound has the mechanism of {treatments} of {total:treatment}",
    "controls_without_spread": "the negative controls of some wells have no spread",
    "too_few_references": lambda values: (
        f"{values['queries']} of {values['total']} wells cannot get their own label: too few of the wells that they "
        f"are compared with have it{'' if values['votes'] == 1 else ' to win ' + str(values['votes']) + ' votes'}"
    ),
    "no_label_in_both": "undefined for {pairs} of {total} pairs of groups: no well of the one has a well of its label "
    "in the other (within a group: on another plate)",
    # why there is no value
    "too_few_exchanges": "{found:exchange} of treated and control wells, {needed} are needed",
    "no_plate_kept": "no plate is kept",
    "no_treated_wells": "no treated well",
    "too_few_controls": "needs {needed} negative controls, found {found}",
    "too_few_mechanisms": "needs {needed} mechanisms, found {found} among the treatments",
    "too_few_classes": "needs two classes with references for each, found: {classes}",
    "too_few_labelled_wells": "needs {needed} treated wells with a mechanism, found {found}",
    "too_few_wells_of_a_cell_line": "needs {needed} wells of a cell line, found {found}",
    "too_few_wells_of_other_compounds": "no well has enough wells of other compounds",
    "too_few_for_connectivity": "needs {needed} treated wells and two compounds in a cell line, found {found} wells",
    "too_few_groups": lambda values: _groups(
        str(values["column"]).removeprefix("Metadata_").replace("_", " ").lower(), values["groups"], values["labels"]
    ),
    "too_few_concentrations": "no compound has {needed} concentrations",
    "too_few_wells": "too few wells",
    "no_replicates": "no treatment has two defined wells",
    "no_replicates_with_controls": "no treatment has two defined wells on plates with negative controls",
    "no_replicates_beside_other_compounds": "no treatment has two defined wells beside another compound",
    "no_compounds_beside_other_mechanisms": "no mechanism has two defined compounds beside another mechanism",
    "no_replicates_of_two_labels": "no set of replicates in a cell line has two labels, one of them with two wells",
    "no_compound_with_two_wells": "no compound has two wells",
    "no_shared_mechanism": "no mechanism has two compounds",
    "no_labelled_treatments": "no treatment has a compound and a mechanism",
    "no_labelled_treatments_in_batches": "no treatment has a compound and a mechanism that occurs in several batches",
    "single_compound": "all treatments are of the same compound",
    "single_compound_or_shared_batch": "all other treatments are of the same compound or share a batch",
    "single_label_per_cell_line": "no cell line has two of them",
    "no_label_in_other_group": "no well has a well of its label in another group (for mechanisms: of another compound)",
    "no_label_twice_in_group": "no group has a label on two plates",
    "no_controls_on_other_rows": "no row can be left out: the other rows have no controls",
    "needs_positive_and_negative_controls": "needs positive and negative controls",
    "needs_metrics": lambda values: f"needs {' and '.join(map(_title, str(values['metrics']).split(', ')))}",
    "no_permuted_value": "no permutation gave a value",
    "threshold_out_of_reach": "no treatment could reach the threshold of {threshold:g}: too few replicates or controls",
}
SENTENCES: dict[str, Sentence] = {**PROFILE, **ALIGN, **EVALUATE, **CURVES}
# Codes that describe how a value was computed and do not limit it.
METHOD_NOTES = frozenset(
    {
        "labels_held_out",
        "sampled",
        "by_cell_line",
        "cross_fitted",
        "cross_fitted_by_halves",
        "two_halves",
        "permuted",
        "gap",
        "axis",
    }
)
# Codes on a value that the plate layout alone could give.
LAYOUT_NOTES = frozenset({"treatment_fixed_to_wells", "dose_fixed_to_column"})
