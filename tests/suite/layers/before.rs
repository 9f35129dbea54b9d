//! Objects that break rules and were stored before these existed: their other fields can be edited, conditions name them, and
//! they can be deleted.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use metal3_ipam::api::crds;
use metal3_ipam::api::metal3::IPPool;
use metal3_ipam::controller::Settings;
use serde_json::{Value, json};

use super::refused;
use super::rows::{Must, rows};
use crate::control_plane::{self, Versions, capi_definitions, skipped};
use crate::dry::{Write, api};
use crate::harness::World;
use crate::steps::{pool_condition, range};
use crate::tally;
use crate::webhook::until;

/// Our definitions without what they refuse but the types.
fn lenient() -> Vec<CustomResourceDefinition> {
    let mut all = crds::metal3_crds();
    for version in all.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        let schema = version.schema.as_mut().unwrap();
        allow(schema.open_api_v3_schema.as_mut().unwrap());
    }
    all.extend(capi_definitions(Versions::Stored));
    all
}

fn allow(schema: &mut JSONSchemaProps) {
    schema.x_kubernetes_validations = None;
    schema.pattern = None;
    (schema.min_length, schema.max_length) = (None, None);
    (schema.minimum, schema.maximum) = (None, None);
    (schema.max_items, schema.max_properties) = (None, None);
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|all| all.values_mut())
    {
        allow(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        allow(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        allow(values);
    }
}

/// The bad inputs that a server without rules stores, each under a name of its own.
fn objects() -> Vec<(String, Value)> {
    let bad = rows().into_iter().filter(|row| row.must == Must::Refuse);
    let created = bad.filter_map(|row| match row.write {
        Write::Create(object) => Some((row.what, object)),
        Write::Patch(..) | Write::Status(..) | Write::Delete(..) => None,
    });
    let is_stored = |(what, object): &(&str, Value)| {
        // A value of another type is stored by nobody, and typed clients read no other strategy; every write of a pool with
        // 10,001 entries takes seconds; of Cluster API's kinds the definitions are not ours.
        !["a number for a text", "strategy foo", "10,001 entries"].contains(what)
            && object["kind"] != "IPAddressClaim"
    };
    let named = created
        .filter(is_stored)
        .enumerate()
        .map(|(n, (what, mut object))| {
            object["metadata"]["name"] = json!(format!("old-{n}"));
            (what.to_owned(), object)
        });
    named.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn section_6_objects_stored_before_the_rules_stay_editable_and_are_named() {
    let name = "section_6_objects_stored_before_the_rules_stay_editable_and_are_named";
    let Some(server) = control_plane::private(&lenient()).await else {
        skipped(name);
        return;
    };
    let mut world = World::at(&server.config).await;
    world.pool("stored", range("10.88.0.1", "10.88.0.9")).await;
    let (client, namespace) = (world.client.clone(), world.namespace.clone());
    let of = |object: &Value| {
        let text = |name: &str| object[name].as_str().unwrap().to_owned();
        api(&client, &namespace, &text("apiVersion"), &text("kind"))
    };
    let objects = objects();
    for (what, object) in &objects {
        let made: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let stored = of(object).create(&PostParams::default(), &made).await;
        assert!(stored.is_ok(), "{what}: {stored:?}");
    }

    let definitions = Api::<CustomResourceDefinition>::all(world.client.clone());
    for mut definition in crds::metal3_crds() {
        let found = definitions.get(&definition.name_any()).await.unwrap();
        definition.metadata.resource_version = found.metadata.resource_version;
        let name = definition.name_any();
        let replaced = definitions
            .replace(&name, &PostParams::default(), &definition)
            .await;
        replaced.unwrap();
    }
    // One of each kind that only the rules refuse.
    for kind in ["IPPool", "IPClaim", "IPAddress"] {
        let text = match kind {
            "IPPool" => "start above end",
            "IPClaim" => "no pool name",
            _ => "address \"0.0.0.0\"",
        };
        let row = rows().into_iter().find(|row| row.what == text).unwrap();
        until("the rules to be in force", async || {
            refused(&world, &row.write).await.is_some()
        })
        .await;
    }

    let mut wrong = Vec::new();
    let patch = async |object: &Value, patch: Value| {
        let name = object["metadata"]["name"].as_str().unwrap();
        let done = of(object)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        done.err().map(|error| error.to_string())
    };
    for (what, object) in &objects {
        if let Some(error) = patch(object, json!({"metadata": {"labels": {"team": "a"}}})).await {
            wrong.push(format!("{what}, labelled: {error}"));
        }
        if object["kind"] == "IPPool"
            && let Some(error) = patch(
                object,
                json!({"spec": {"addressReuseGracePeriodSeconds": 1}}),
            )
            .await
        {
            wrong.push(format!("{what}, edited elsewhere: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // The controller writes its finalizer and its conditions there too, and says what is wrong with each pool.
    world.start_controller_with(Settings {
        discovery_interval: Duration::from_millis(100),
        ..Settings::default()
    });
    let pools: Vec<&str> = objects
        .iter()
        .filter(|(_, object)| object["kind"] == "IPPool")
        .map(|(_, object)| object["metadata"]["name"].as_str().unwrap())
        .collect();
    world
        .until::<IPPool>("every bad pool to say that its spec is invalid", |all| {
            pools.iter().all(|name| {
                let ready = all
                    .get(*name)
                    .and_then(|pool| pool_condition(pool, "Ready"));
                ready.is_some_and(|c| c.reason == "InvalidSpec" && c.message.contains("spec."))
            })
        })
        .await;
    for (what, object) in &objects {
        let name = object["metadata"]["name"].as_str().unwrap();
        let gone = of(object).delete(name, &DeleteParams::default()).await;
        assert!(gone.is_ok(), "{what}, deleted: {gone:?}");
    }
    for (what, object) in &objects {
        let name = object["metadata"]["name"].as_str().unwrap();
        let what = format!("{what} ({name}) to be gone");
        until(&what, async || {
            of(object).get_opt(name).await.unwrap().is_none()
        })
        .await;
    }
    world.stop_controller().await;
    tally::add("objects stored before the rules", objects.len() as u64);
    tally::add("scenarios passed on a real kube-apiserver", 1);
    drop(server);
}
