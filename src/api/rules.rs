//! What the CustomResourceDefinitions themselves refuse (spec, section 6): patterns, bounds and rules in CEL
//! (`x-kubernetes-validations`). They hold on every cluster, with nothing of ours running.
//!
//! The rules are those of the `admission` room, as far as one object alone decides them and as far as CEL's cost limits
//! allow (10,000,000 for one rule over all places where it applies, as the API server estimates it from `maxItems` and
//! `maxLength`). `admission`'s tests hold the two to each other. Left to the webhook, because they do not fit: the same
//! address pre-allocated twice and a pre-allocation outside the ranges (every pair would be compared), the order of an
//! excluded range, and the letters of a pre-allocation's key (one call may cost 1,000,000: 2,000 keys of full length).
//!
//! What is stored already stays editable where the part in question does not change. Kubernetes does that for a rule whose
//! own field stands (CRD ratcheting, on by default since 1.30). A rule about several fields stands at the object that holds
//! them all, which other edits change too; so such rules compare the fields that they are about with `oldSelf`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    ValidationRule,
};

use super::names;

/// Entries of a pool. With more, the rules on an entry exceed CEL's cost limit.
pub const MAX_ENTRIES: usize = 10_000;
/// Pre-allocations of a pool.
pub const MAX_PRE_ALLOCATIONS: usize = 65_536;
/// Excluded addresses, ranges and subnets of a pool.
pub const MAX_EXCLUSIONS: usize = 10_000;
/// DNS servers of a pool, an entry or an address.
pub const MAX_NAME_SERVERS: usize = 10;
/// Characters of a name that a Kubernetes object can have.
const MAX_NAME: i64 = 253;

/// One decimal number of an IPv4 address, without leading zeros.
const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
/// A DNS-1123 subdomain, the form of an object's name.
const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// What a reference to a pool has to be whose name no object can have.
pub(crate) const NO_NAME: &str =
    "must be the name of an IPPool: a-z, 0-9, - and ., beginning and ending with a letter or digit";

const HOST: &str = "must be the IPv4 or IPv6 address of one host in its standard spelling, such as 192.168.0.10 or fd00::10: \
     no leading zeros, no zone, no IPv4 inside IPv6, no wildcard, multicast or broadcast address";
const NET: &str = "must be a subnet in CIDR form, such as 192.168.0.0/24 or fd00::/64, neither a whole address family nor \
     multicast or broadcast addresses";
const EXCLUSION: &str = "must be an address, a range first-last of one family or a subnet, such as 192.168.0.10, \
     192.168.0.10-192.168.0.20 or 192.168.0.0/28";

/// A pattern for one address: exact for IPv4, and for IPv6 without an embedded IPv4 address.
pub(super) fn ip_pattern() -> String {
    format!("^({}|{})$", v4(), v6())
}

/// A pattern for one subnet in CIDR form.
pub(super) fn net_pattern() -> String {
    format!(
        "^({}/(3[0-2]|[12]?[0-9])|{}/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$",
        v4(),
        v6()
    )
}

/// A pattern for an address, a range of one family or a subnet.
pub(super) fn exclusion_pattern() -> String {
    let (v4, v6) = (v4(), v6());
    format!("^({v4}(-{v4}|/(3[0-2]|[12]?[0-9]))?|{v6}(-{v6}|/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$")
}

fn v4() -> String {
    format!("({OCTET}[.]){{3}}{OCTET}")
}

/// Eight groups, or fewer with one `::` in the place of at least one.
fn v6() -> String {
    const GROUP: &str = "[0-9A-Fa-f]{1,4}";
    let mut forms = vec![format!("({GROUP}:){{7}}{GROUP}"), "::".to_owned()];
    // `::` after `before` groups, and then at most `7 - before` more.
    forms.push(format!(":(:{GROUP}){{1,7}}"));
    forms.push(format!("({GROUP}:){{1,7}}:"));
    for before in 1..=6 {
        let after = 7 - before;
        forms.push(format!("({GROUP}:){{{before}}}(:{GROUP}){{1,{after}}}"));
    }
    format!("({})", forms.join("|"))
}

/// Puts the rules into the definition of one of our kinds.
pub(super) fn guard(crd: &mut CustomResourceDefinition) {
    let kind = crd.spec.names.kind.clone();
    for version in &mut crd.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(spec) = schema.and_then(|schema| at(schema, &["spec"])) else {
            continue;
        };
        match kind.as_str() {
            "IPPool" => pool(spec),
            "IPClaim" => claim(spec),
            "IPAddress" => address(spec),
            _ => {}
        }
    }
}

fn pool(spec: &mut JSONSchemaProps) {
    let longest = names::MAX_OBJECT_NAME - names::MAX_NAME_SUFFIX;
    with(spec, &["namePrefix"], |prefix| {
        prefix.max_length = i64::try_from(longest).ok();
        prefix.x_kubernetes_validations = Some(vec![
            rule(
                &format!("(self + '-0').matches('{OBJECT_NAME}')"),
                "must be the beginning of a DNS-1123 subdomain (a-z, 0-9, - and ., beginning with a letter or digit, and each . between two of these): the names of the pool's address objects begin with it",
            ),
            rule(
                "self == oldSelf",
                "cannot be modified: address objects are named by it; create another pool instead",
            ),
        ]);
    });
    with(spec, &["allocationStrategy"], |strategy| {
        strategy.x_kubernetes_validations = Some(vec![rule(
            "self == oldSelf",
            "cannot be modified after creation; create another pool instead",
        )]);
    });
    with(spec, &["clusterName"], |name| {
        name.max_length = i64::try_from(names::MAX_LABEL_VALUE).ok();
        name.x_kubernetes_validations = Some(vec![rule(
            &format!("self == '' || self.matches('{OBJECT_NAME}')"),
            "must be the name of a Cluster that fits a label: at most 63 characters, a-z, 0-9, - and ., beginning and ending with a letter or digit",
        )]);
    });
    with(spec, &["preAllocations"], |map| {
        map.max_properties = i64::try_from(MAX_PRE_ALLOCATIONS).ok();
        map.x_kubernetes_validations = Some(vec![rule(
            &format!("!('' in self) && self.all(claim, claim.size() <= {MAX_NAME})"),
            "has a key that can be no claim's name, which has 1 to 253 characters",
        )]);
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut map.additional_properties {
            host(value);
        }
    });
    with(spec, &["gateway"], host);
    with(spec, &["dnsServers"], name_servers);
    with(spec, &["excludedAddresses"], |list| {
        list.max_items = i64::try_from(MAX_EXCLUSIONS).ok();
        items(list, |text| {
            text.x_kubernetes_validations = Some(vec![rule(
                "self.contains('/') ? isCIDR(self) && cidr(self).prefixLength() > 0 : \
                 self.contains('-') ? isIP(self.substring(0, self.indexOf('-'))) && isIP(self.substring(self.indexOf('-') + 1)) : isIP(self)",
                EXCLUSION,
            )]);
        });
    });
    with(spec, &["pools"], |list| {
        list.max_items = i64::try_from(MAX_ENTRIES).ok();
        items(list, entry);
    });
    spec.x_kubernetes_validations = Some(vec![
        inherited(
            "gateway",
            |pool| {
                let fits = of_entry(
                    "e",
                    &format!("ip({pool}.gateway).family() == ip(e.start).family()"),
                    &format!("ip({pool}.gateway).family() == cidr(e.subnet).ip().family()"),
                );
                format!(
                    "!isIP({pool}.gateway) || !has({pool}.pools) || {pool}.pools.all(e, has(e.gateway) || {fits})"
                )
            },
            "must be of the address family of every entry that inherits it; or give the entries of each family a gateway of their own",
        ),
        inherited(
            "prefix",
            |pool| {
                let fits = of_entry(
                    "e",
                    "ip(e.start).family() == 6",
                    "cidr(e.subnet).ip().family() == 6",
                );
                format!(
                    "{pool}.prefix <= 32 || !has({pool}.pools) || {pool}.pools.all(e, (has(e.prefix) && e.prefix > 0) || {fits})"
                )
            },
            "must be from 0 to 32 for the IPv4 entries that inherit it; or give the entries of each family a prefix of their own",
        ),
        drawable(),
    ]);
}

/// At random an entry with nothing but `start` would give any address of its family. The strategy cannot be changed, so entries
/// that stood before were stored without this rule.
fn drawable() -> ValidationRule {
    let holds = |pool: &str| {
        format!(
            "!has({pool}.allocationStrategy) || {pool}.allocationStrategy != 'random' || !has({pool}.pools) || \
             {pool}.pools.all(e, !has(e.start) || has(e.end) || has(e.subnet))"
        )
    };
    ValidationRule {
        field_path: Some(".pools".to_owned()),
        optional_old_self: Some(true),
        ..rule(
            &format!(
                "{} || (oldSelf.hasValue() && !({}))",
                holds("self"),
                holds("oldSelf.value()")
            ),
            "must have an end or a subnet in each entry where allocationStrategy is random: addresses are drawn from all of the range",
        )
    }
}

/// A rule on a field of the pool that entries inherit. Where the field stands and did not fit before, no entry that is added
/// is at fault: which of them are new is more than CEL can compare, and left to the webhook.
fn inherited(field: &str, holds: impl Fn(&str) -> String, message: &str) -> ValidationRule {
    let (new, old) = ("self", "oldSelf.value()");
    ValidationRule {
        field_path: Some(format!(".{field}")),
        optional_old_self: Some(true),
        ..rule(
            &format!(
                "!has({new}.{field}) || {} || (oldSelf.hasValue() && has({old}.{field}) && {new}.{field} == {old}.{field} && !({}))",
                holds(new),
                holds(old)
            ),
            message,
        )
    }
}

/// `start` or, without one, `subnet` decides; an entry in which neither can be read is refused elsewhere.
fn of_entry(entry: &str, by_start: &str, by_subnet: &str) -> String {
    format!(
        "(has({entry}.start) ? !isIP({entry}.start) || {by_start} : !has({entry}.subnet) || !isCIDR({entry}.subnet) || {by_subnet})"
    )
}

fn entry(entry: &mut JSONSchemaProps) {
    with(entry, &["start"], host);
    with(entry, &["end"], host);
    with(entry, &["gateway"], host);
    with(entry, &["dnsServers"], name_servers);
    with(entry, &["subnet"], net);
    let both_read = "!has(self.start) || !has(self.end) || !isIP(self.start) || !isIP(self.end)";
    let in_subnet = |field: &str| {
        format!(
            "!has(self.{field}) || !has(self.subnet) || !isIP(self.{field}) || !isCIDR(self.subnet) || cidr(self.subnet).containsIP(self.{field})"
        )
    };
    entry.x_kubernetes_validations = Some(vec![
        required(
            "has(self.start) || has(self.end) || has(self.subnet)",
            "must have start, subnet or both: start and end make a range, a subnet alone is used from the address after the written one",
        ),
        ValidationRule {
            field_path: Some(".start".to_owned()),
            ..required(
                "!has(self.end) || has(self.start)",
                "must be given where end is",
            )
        },
        on(
            ".start",
            rule(&in_subnet("start"), "must lie in the entry's subnet"),
        ),
        on(
            ".end",
            rule(&in_subnet("end"), "must lie in the entry's subnet"),
        ),
        on(
            ".end",
            rule(
                &format!("{both_read} || ip(self.start).family() == ip(self.end).family()"),
                "must be of the same address family as start",
            ),
        ),
        on(
            ".end",
            rule(
                &format!("{both_read} || {}", ordered("self.start", "self.end")),
                "must not be below start",
            ),
        ),
        on(
            ".end",
            rule(
                "!has(self.start) || !has(self.end) || !self.end.matches('^2[45][0-9][.]') || self.start.matches('^2[45][0-9][.]')",
                "must not bring multicast addresses (224.0.0.0/4) into the range",
            ),
        ),
        on(
            ".start",
            rule(
                "!has(self.start) || has(self.end) || has(self.subnet) || !self.start.matches('^2[45][0-9][.]')",
                "lies above the last unicast address, where an entry without end and subnet stops; give it an end",
            ),
        ),
        on(
            ".subnet",
            rule(
                "!has(self.subnet) || has(self.end) || !isCIDR(self.subnet) || !(cidr(self.subnet).containsIP('224.0.0.0') || \
                 cidr(self.subnet).containsIP('255.255.255.255') || cidr(self.subnet).containsIP('ff00::'))",
                "must not bring multicast addresses (224.0.0.0/4, ff00::/8) or the broadcast address into the range; give the entry an end",
            ),
        ),
        on(
            ".gateway",
            rule(
                &format!(
                    "!has(self.gateway) || !isIP(self.gateway) || {}",
                    of_entry(
                        "self",
                        "ip(self.gateway).family() == ip(self.start).family()",
                        "ip(self.gateway).family() == cidr(self.subnet).ip().family()"
                    )
                ),
                "must be of the address family of the entry's range",
            ),
        ),
        on(
            ".prefix",
            rule(
                &format!(
                    "!has(self.prefix) || self.prefix <= 32 || {}",
                    of_entry(
                        "self",
                        "ip(self.start).family() == 6",
                        "cidr(self.subnet).ip().family() == 6"
                    )
                ),
                "must be from 0 to 32 for IPv4",
            ),
        ),
    ]);
}

/// `first <= last` for two addresses of one family, which CEL cannot compare. Two IPv4 addresses that differ in their last
/// number alone are compared as text, the shorter one first: that is the usual range, and costs a tenth of the rest. For the
/// others, the number of leading bits that both share is found by halving. Of two families it says something, but it does not
/// fail: ratcheting lets a rule pass that does not hold for what is stored, and not one that fails.
fn ordered(first: &str, last: &str) -> String {
    format!(
        "({first}.contains('.') && {last}.startsWith({first}.substring(0, {first}.lastIndexOf('.') + 1)) ? \
         {first}.size() < {last}.size() || ({first}.size() == {last}.size() && {first} <= {last}) : \
         [ip({last})].exists(last, {first}.contains('.') ? {} : {}))",
        halved(first, &[16, 8, 4, 2, 1]),
        halved(first, &[64, 32, 16, 8, 4, 2, 1]),
    )
}

/// The number of leading bits that `first` and the address `last` share is found by halving, with the question whether the
/// subnet of `first` with so many bits contains `last`. Of the two halves of that subnet, the one with `first` has to be the
/// lower one, or the one with `last` too (then the addresses are equal). Each `[x].exists(name, ...)` names a value. The steps
/// are written out for each family: of two branches, the API server's estimate counts the dearer one.
fn halved(first: &str, steps: &[u8]) -> String {
    let subnet = |bits: &str| format!("cidr({first} + {})", mask(bits));
    let mut parts = vec![];
    let mut shared = String::new();
    for (name, step) in ('a'..).zip(steps) {
        if shared.is_empty() {
            parts.push(format!(
                "[cidr({first} + '/{step}').containsIP(last) ? {step} : 0].exists({name}, "
            ));
        } else {
            let more = format!("{shared} + {step}");
            parts.push(format!(
                "[{}.containsIP(last) ? {more} : {shared}].exists({name}, ",
                subnet(&format!("({more})"))
            ));
        }
        shared = name.to_string();
    }
    let closing = ")".repeat(parts.len());
    parts.push(format!(
        "[{shared} + 1].exists(n, [{}].exists(half, half.containsIP(last) || half.containsIP({}.masked().ip())))",
        subnet("n"),
        subnet(&shared)
    ));
    parts.push(closing);
    parts.concat()
}

/// `/` and a whole number from 0 to 128 as text. `string(n)` would do, but the API server's estimate takes its length for
/// unbounded, and the rule for too expensive.
fn mask(n: &str) -> String {
    format!(
        "(({n} < 10 ? '/' : {n} < 20 ? '/1' : {n} < 100 ? '/2/3/4/5/6/7/8/9'.substring({n} / 10 * 2 - 4, {n} / 10 * 2 - 2) : \
         {n} < 110 ? '/10' : {n} < 120 ? '/11' : '/12') + '0123456789'.substring({n} % 10, {n} % 10 + 1))"
    )
}

fn claim(spec: &mut JSONSchemaProps) {
    with(spec, &["pool"], |pool| {
        let mut rules = reference("name the IPPool that is asked");
        rules.push(rule(
            &unchanged(pool, "self", "oldSelf"),
            "cannot be modified: a claim asks one pool for its whole life; create another claim instead",
        ));
        pool.x_kubernetes_validations = Some(rules);
        bounded_name(pool);
    });
}

/// The referenced name has the length of a name: whatever repeats it, a message or a metric, stays short.
fn bounded_name(reference: &mut JSONSchemaProps) {
    with(reference, &["name"], |name| {
        name.max_length = Some(MAX_NAME);
    });
}

/// A reference to an IPPool.
fn reference(what: &str) -> Vec<ValidationRule> {
    vec![
        on(
            ".name",
            required(
                "has(self.name) && self.name != ''",
                &format!("cannot be empty; {what}"),
            ),
        ),
        on(
            ".name",
            rule(
                &format!(
                    "!has(self.name) || self.name == '' || self.name.matches('{OBJECT_NAME}')"
                ),
                NO_NAME,
            ),
        ),
        on(
            ".kind",
            rule(
                "!has(self.kind) || self.kind in ['', 'IPPool']",
                "must be IPPool or absent",
            ),
        ),
        on(
            ".apiVersion",
            rule(
                "!has(self.apiVersion) || self.apiVersion == '' || self.apiVersion.startsWith('ipam.metal3.io/') || self.apiVersion == 'ipam.metal3.io'",
                "must be ipam.metal3.io/v1alpha1 or absent",
            ),
        ),
    ]
}

fn address(spec: &mut JSONSchemaProps) {
    with(spec, &["address"], host);
    with(spec, &["gateway"], host);
    with(spec, &["dnsServers"], name_servers);
    with(spec, &["pool"], |pool| {
        pool.x_kubernetes_validations = Some(reference("name the IPPool that the address is of"));
        bounded_name(pool);
    });
    with(spec, &["claim"], |claim| {
        claim.x_kubernetes_validations = Some(vec![on(
            ".name",
            required(
                "has(self.name) && self.name != ''",
                "cannot be empty; name the claim that has the address",
            ),
        )]);
        bounded_name(claim);
    });
    spec.x_kubernetes_validations = Some(vec![rule(
        &unchanged(spec, "self", "oldSelf"),
        "cannot be modified: an IPAddress records what was handed out; delete its claim to release the address",
    )]);
}

/// Whether the fields of an object stand, for a client that leaves out what is empty and for one that writes it: `""`, `0`
/// and `[]` are as good as absent.
fn unchanged(object: &JSONSchemaProps, new: &str, old: &str) -> String {
    let fields = object.properties.iter().flatten();
    let stands = fields.map(|(name, field)| {
        // A reserved word of CEL.
        let name = if name == "namespace" {
            "__namespace__"
        } else {
            name
        };
        let (new, old) = (format!("{new}.{name}"), format!("{old}.{name}"));
        let empty = match field.type_.as_deref() {
            Some("object") => return unchanged(field, &new, &old),
            Some("integer") => "0",
            Some("array") => "[]",
            _ => "''",
        };
        format!("(has({new}) ? {new} : {empty}) == (has({old}) ? {old} : {empty})")
    });
    stands.collect::<Vec<_>>().join(" && ")
}

/// The address of one host.
fn host(text: &mut JSONSchemaProps) {
    text.x_kubernetes_validations = Some(vec![rule(
        "isIP(self) && !ip(self).isUnspecified() && self != '255.255.255.255' && !cidr('224.0.0.0/4').containsIP(self) && \
         !cidr('ff00::/8').containsIP(self)",
        HOST,
    )]);
}

fn net(text: &mut JSONSchemaProps) {
    text.x_kubernetes_validations = Some(vec![rule(
        "isCIDR(self) && cidr(self).prefixLength() > 0 && !cidr('255.255.255.255/32').containsIP(cidr(self).ip()) && \
         !cidr('224.0.0.0/4').containsIP(cidr(self).ip()) && !cidr('ff00::/8').containsIP(cidr(self).ip())",
        NET,
    )]);
}

fn name_servers(list: &mut JSONSchemaProps) {
    list.max_items = i64::try_from(MAX_NAME_SERVERS).ok();
    items(list, host);
}

fn rule(expression: &str, message: &str) -> ValidationRule {
    ValidationRule {
        rule: expression.to_owned(),
        message: Some(message.to_owned()),
        ..ValidationRule::default()
    }
}

fn required(expression: &str, message: &str) -> ValidationRule {
    ValidationRule {
        reason: Some("FieldValueRequired".to_owned()),
        ..rule(expression, message)
    }
}

/// Reports the rule at a field of the object that it stands at.
fn on(field: &str, rule: ValidationRule) -> ValidationRule {
    ValidationRule {
        field_path: Some(field.to_owned()),
        ..rule
    }
}

/// The schema of a field within a field.
fn at<'a>(schema: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    path.iter().try_fold(schema, |schema, name| {
        schema.properties.as_mut()?.get_mut(*name)
    })
}

fn with(schema: &mut JSONSchemaProps, path: &[&str], change: impl FnOnce(&mut JSONSchemaProps)) {
    if let Some(field) = at(schema, path) {
        change(field);
    }
}

fn items(list: &mut JSONSchemaProps, change: impl FnOnce(&mut JSONSchemaProps)) {
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut list.items {
        change(items);
    }
}
