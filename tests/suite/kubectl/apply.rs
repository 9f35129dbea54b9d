//! `kubectl apply --server-side`, and the other commands of kubectl that read `managedFields`.

use super::{Lab, POOL, POOL1, edit_with, field, has, words};

/// Managers and operations of a pool's entries, sorted.
fn managers(lab: &Lab) -> Vec<String> {
    let path = r#"jsonpath={range .metadata.managedFields[*]}{.manager}/{.operation}{"\n"}{end}"#;
    let mut args = words("get --show-managed-fields -o");
    args.push(path);
    args.extend(words(POOL1));
    let mut found: Vec<String> = lab.ok_with(&args, "").lines().map(str::to_owned).collect();
    found.sort();
    found
}

/// Applies, keeps to what it applied, and gives way or takes over.
pub(super) fn server_side(lab: &Lab) {
    let apply = words("apply --server-side -f -");
    has(
        &lab.ok_with(&apply, POOL),
        &["ippool.ipam.metal3.io/pool1 serverside-applied"],
    );
    assert_eq!(managers(lab), ["kubectl/Apply"]);
    has(
        &lab.ok(&format!("get {POOL1} -o yaml --show-managed-fields")),
        &[
            "managedFields:",
            "fieldsType: FieldsV1",
            "f:namePrefix: {}",
            "operation: Apply",
        ],
    );
    let hidden = lab.ok(&format!("get {POOL1} -o yaml"));
    assert!(!hidden.contains("managedFields"), "{hidden}");
    let version = field(lab, ".metadata.resourceVersion");
    lab.ok_with(&apply, POOL);
    assert_eq!(field(lab, ".metadata.resourceVersion"), version);

    // Someone else changes one of the fields by hand.
    let other = r#"--patch={"spec":{"gateway":"192.168.0.2"}}"#;
    let mut args = words("patch --type=merge --field-manager=ops");
    args.extend(words(POOL1));
    args.push(other);
    has(&lab.ok_with(&args, ""), &["pool1 patched"]);
    let refused = lab.run(&apply, POOL);
    assert!(!refused.ok, "{}", refused.out);
    has(
        &refused.err,
        &[
            r#"conflict with "ops" using ipam.metal3.io/v1alpha1: .spec.gateway"#,
            "--force-conflicts",
        ],
    );
    assert_eq!(field(lab, ".spec.gateway"), "192.168.0.2");
    let difference = lab.run(&words("diff --server-side --force-conflicts -f -"), POOL);
    has(
        &difference.out,
        &["-  gateway: 192.168.0.2", "+  gateway: 192.168.0.1"],
    );
    has(
        &lab.run(&words("diff --server-side -f -"), POOL).err,
        &[r#"conflict with "ops""#],
    );
    let forced = words("apply --server-side --force-conflicts -f -");
    has(&lab.ok_with(&forced, POOL), &["serverside-applied"]);
    assert_eq!(field(lab, ".spec.gateway"), "192.168.0.1");
    assert_eq!(
        lab.ok_with(&words("diff --server-side -f -"), POOL),
        "",
        "what was applied does not differ"
    );

    // What is no longer applied goes.
    let less = POOL.replace("  gateway: 192.168.0.1\n", "");
    lab.ok_with(&apply, &less);
    assert_eq!(field(lab, ".spec.gateway"), "");
    let dry = words("apply --server-side --dry-run=server -o yaml -f -");
    has(&lab.ok_with(&dry, POOL), &["gateway: 192.168.0.1"]);
    assert_eq!(field(lab, ".spec.gateway"), "");
    lab.ok_with(&apply, POOL);
    let mine = words("apply --server-side --field-manager=mine -f -");
    let labelled = "apiVersion: ipam.metal3.io/v1alpha1\nkind: IPPool\nmetadata: {name: pool1, namespace: lab, labels: {rack: a}}\n";
    has(&lab.ok_with(&mine, labelled), &["serverside-applied"]);
    assert_eq!(managers(lab), ["kubectl/Apply", "mine/Apply"]);

    let odd = POOL.replace("prefix:", "prefx:");
    let said = lab.run(&apply, &odd);
    assert!(!said.ok, "{}", said.out);
    has(&said.err, &[".spec.prefx: field not declared in schema"]);
}

/// Other verbs leave what is someone's to whom it is.
pub(super) fn beside_other_verbs(lab: &Lab) {
    lab.ok(&format!("label {POOL1} tier=gold"));
    lab.ok(&format!("annotate {POOL1} note=hello"));
    edit_with(lab, "s/192.168.0.1$/192.168.0.4/", &words(POOL1));
    assert_eq!(
        managers(lab),
        [
            "kubectl-annotate/Update",
            "kubectl-edit/Update",
            "kubectl-label/Update",
            "kubectl/Apply",
            "mine/Apply"
        ]
    );
    // An apply by the edited field's old owner is a conflict with the editor.
    let refused = lab.run(&words("apply --server-side -f -"), POOL);
    has(
        &refused.err,
        &[r#"conflict with "kubectl-edit" using ipam.metal3.io/v1alpha1: .spec.gateway"#],
    );
    let forced = words("apply --server-side --force-conflicts -f -");
    lab.ok_with(&forced, POOL);
    assert_eq!(field(lab, ".metadata.labels.tier"), "gold");
    assert_eq!(field(lab, ".metadata.annotations.note"), "hello");
    // A whole object with its entries, sent back, changes nothing.
    let whole = lab.ok(&format!("get {POOL1} -o json --show-managed-fields"));
    let version = field(lab, ".metadata.resourceVersion");
    has(
        &lab.ok_with(&["replace", "-f", "-"], &whole),
        &["pool1 replaced"],
    );
    assert_eq!(field(lab, ".metadata.resourceVersion"), version);
    lab.ok(&format!("delete {POOL1}"));
}

/// From kubectl's own apply to the server's, and back.
pub(super) fn migrated(lab: &Lab) {
    lab.ok_with(&["apply", "-f", "-"], POOL);
    assert_eq!(managers(lab), ["kubectl-client-side-apply/Update"]);
    let changed = POOL.replace("192.168.0.30", "192.168.0.40");
    let apply = words("apply --server-side -f -");
    has(&lab.ok_with(&apply, &changed), &["serverside-applied"]);
    // The annotation has a manager of its own, so that it stays when it is not applied.
    assert_eq!(
        managers(lab),
        ["kubectl-last-applied/Apply", "kubectl/Apply"]
    );
    assert_eq!(field(lab, ".spec.pools[0].end"), "192.168.0.40");
    // The annotation goes along as long as it is there.
    has(&field(lab, ".metadata.annotations"), &["192.168.0.40"]);
    has(&lab.ok_with(&["apply", "-f", "-"], POOL), &["configured"]);
    assert_eq!(field(lab, ".spec.pools[0].end"), "192.168.0.30");
    has(&lab.ok_with(&["apply", "-f", "-"], POOL), &["unchanged"]);
    let less = POOL.replace("  gateway: 192.168.0.1\n", "");
    lab.ok_with(&apply, &less);
    assert_eq!(field(lab, ".spec.gateway"), "");
    lab.ok(&format!("delete {POOL1}"));
}
