//! From the bytes of an AdmissionReview to the answer. Everything that does not fit the path is an error with a sentence
//! (HTTP 400); what fits is allowed or refused.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::core::admission::{
    AdmissionRequest, AdmissionResponse, AdmissionReview, META_API_VERSION_V1, META_KIND, Operation,
};
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary};
use kube::core::{DynamicObject, GroupVersionResource, TypeMeta};
use listen::memory::Memory;
use serde_json::Value;
use serde_json::value::RawValue;

use super::facts::{Facts, Judged, judge};
use super::hooks::{Act, Hook};
use super::json::{self, Envelope, Request};
use crate::admission::{Review, Verdict};
use crate::api::{Claim, ClaimKind, WireObject, names};

/// Which claims get their finalizer here: those that the manager of this process serves. One that gets it and has no manager
/// cannot be deleted.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--watch-filter`.
    pub watch_filter: Option<String>,
}

/// Seconds after which a write that needs a fact may be tried again.
const AGAIN: u32 = 1;
/// Bytes of a request's UID: the API server's have 36.
const MOST_UID: usize = 128;

/// Why a body is not judged.
#[derive(Debug)]
pub(super) enum Unread {
    /// It does not fit the path, or is no review: a sentence about what is wrong.
    Wrong(String),
    /// Its objects take more memory than they may.
    TooLarge,
}

/// Reads a review, whose objects may take so many bytes of memory, and checks that it belongs to the path.
///
/// # Errors
/// When it is not to be judged.
pub(super) fn read(hook: &Hook, body: &[u8], memory: usize) -> Result<Asked, Unread> {
    let Envelope {
        api_version,
        kind,
        request,
    } = serde_json::from_slice(body).map_err(|e| no_review(&e))?;
    if kind != META_KIND || api_version != META_API_VERSION_V1 {
        return Err(Unread::Wrong(format!(
            "the body is {} {}; only AdmissionReview of {META_API_VERSION_V1} is answered: put v1 first in \
             admissionReviewVersions of the webhook configuration",
            cut(&kind),
            cut(&api_version)
        )));
    }
    let types = TypeMeta { api_version, kind };
    let request = request.ok_or_else(|| wrong("the AdmissionReview has no request"))?;
    let (group, kind) = (&request.kind.group, &request.kind.kind);
    if group != hook.group || kind != hook.kind {
        return Err(Unread::Wrong(format!(
            "the request is about {}.{}, and {} is for {}.{}: correct the rules or the path of the webhook configuration",
            cut(kind),
            cut(group),
            hook.path,
            hook.kind,
            hook.group
        )));
    }
    // The answer repeats it, and waits for the client to read it.
    if request.uid.len() > MOST_UID {
        return Err(Unread::Wrong(format!(
            "the request's uid has {} bytes, and {MOST_UID} at most are taken",
            request.uid.len()
        )));
    }
    let write = write(&request, &Memory::of(memory))?;
    let response = response(types, request);
    Ok(Asked { response, write })
}

fn wrong(sentence: &str) -> Unread {
    Unread::Wrong(sentence.to_owned())
}

fn no_review(error: &serde_json::Error) -> Unread {
    Unread::Wrong(format!("the body is no AdmissionReview in JSON: {error}"))
}

/// What there is to judge; `None` when there is nothing.
fn write(request: &Request<'_>, memory: &Memory) -> Result<Option<Write>, Unread> {
    let of_subresource = request.sub_resource.as_ref().is_some_and(|s| !s.is_empty());
    let is_update = match request.operation {
        // Deletes are never refused; a subresource has no spec.
        Operation::Delete | Operation::Connect => return Ok(None),
        Operation::Create | Operation::Update if of_subresource => return Ok(None),
        Operation::Create => false,
        Operation::Update => true,
    };
    let new = request.object;
    let new = new.ok_or_else(|| wrong("the request has no object"))?;
    let old = if is_update {
        let old = request.old_object;
        Some(old.ok_or_else(|| wrong("the update has no oldObject"))?)
    } else {
        None
    };
    Ok(Some(Write {
        namespace: request.namespace.clone().unwrap_or_default(),
        old: old.map(|old| object(old, memory)).transpose()?,
        new: object(new, memory)?,
    }))
}

/// An object as the rules read it. serde_json refuses what is nested deeper than 128 levels.
fn object(text: &RawValue, memory: &Memory) -> Result<Value, Unread> {
    let object = json::read(text, memory).map_err(|error| {
        if memory.is_used_up() {
            Unread::TooLarge
        } else {
            no_review(&error)
        }
    })?;
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    if !object.is_object() || !(metadata.is_object() || metadata.is_null()) {
        return Err(wrong(
            "the body is no AdmissionReview in JSON: its object is none of Kubernetes",
        ));
    }
    Ok(object)
}

/// Allows what the request asks.
fn response(types: TypeMeta, request: Request<'_>) -> AdmissionResponse {
    AdmissionResponse::from(&AdmissionRequest::<DynamicObject> {
        types,
        uid: request.uid,
        kind: request.kind,
        resource: GroupVersionResource::gvr("", "", ""),
        sub_resource: None,
        request_kind: None,
        request_resource: None,
        request_sub_resource: None,
        name: String::new(),
        namespace: None,
        operation: request.operation,
        user_info: UserInfo::default(),
        object: None,
        old_object: None,
        dry_run: false,
        options: None,
    })
}

/// An AdmissionReview that was read and is about the kind of its path.
pub(super) struct Asked {
    /// Allows; made of the request.
    response: AdmissionResponse,
    /// What there is to judge; `None` when there is nothing.
    write: Option<Write>,
}

struct Write {
    namespace: String,
    old: Option<Value>,
    new: Value,
}

impl Asked {
    /// Judges the object and returns the AdmissionReview to answer with.
    pub(super) async fn answer(
        self,
        hook: &Hook,
        scope: &Scope,
        facts: &dyn Facts,
    ) -> AdmissionReview<DynamicObject> {
        let Self { response, write } = self;
        let Some(write) = write else {
            return response.into_review();
        };
        let response = match hook.act {
            Act::Nothing => response,
            Act::AddFinalizer(kind) => add_finalizer(kind, response, write, scope),
            Act::Validate => {
                let review = Review {
                    group: hook.group,
                    kind: hook.kind,
                    namespace: &write.namespace,
                    old: write.old.as_ref(),
                    new: &write.new,
                };
                match judge(review, facts).await {
                    Judged::Verdict(verdict) => said(hook, response, &write, verdict),
                    Judged::Later(why) => later(hook, response, &write, &why),
                }
            }
        };
        response.into_review()
    }
}

/// The verdict in the form that Kubernetes gives for its built-in kinds.
fn said(
    hook: &Hook,
    response: AdmissionResponse,
    write: &Write,
    verdict: Verdict,
) -> AdmissionResponse {
    let mut response = if verdict.is_allowed() {
        response
    } else {
        let name = write.name();
        let message = format!(
            "{}.{} {name:?} is invalid: {}",
            hook.kind,
            hook.group,
            verdict.summary()
        );
        let causes = verdict.errors.iter().map(|violation| StatusCause {
            reason: violation.cause.reason().to_owned(),
            message: violation.message(),
            field: violation.field.clone(),
        });
        let details = StatusDetails {
            causes: causes.collect(),
            ..details(hook, name)
        };
        refuse(response, message, 422, "Invalid", details)
    };
    if !verdict.warnings.is_empty() {
        response.warnings = Some(verdict.warnings);
    }
    response
}

/// Whether the addresses that a pool loses are in use is not known yet.
fn later(hook: &Hook, response: AdmissionResponse, write: &Write, why: &str) -> AdmissionResponse {
    let name = write.name();
    let message = format!(
        "{}.{} {name:?} cannot be changed now: it is not known yet which of the addresses that it would lose are in use \
         ({why}); try again in a moment",
        hook.kind, hook.group
    );
    let details = StatusDetails {
        retry_after_seconds: AGAIN,
        ..details(hook, name)
    };
    refuse(response, message, 503, "ServiceUnavailable", details)
}

fn details(hook: &Hook, name: &str) -> StatusDetails {
    StatusDetails {
        name: name.to_owned(),
        group: hook.group.to_owned(),
        kind: hook.kind.to_owned(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

fn refuse(
    mut response: AdmissionResponse,
    message: String,
    code: u16,
    reason: &str,
    details: StatusDetails,
) -> AdmissionResponse {
    response.allowed = false;
    response.result = Status {
        status: Some(StatusSummary::Failure),
        code,
        message,
        metadata: None,
        reason: reason.to_owned(),
        details: Some(details),
    };
    response
}

/// An answer without its warnings and causes, and with the beginning of its message.
pub(super) fn verdict_alone(
    mut review: AdmissionReview<DynamicObject>,
) -> AdmissionReview<DynamicObject> {
    if let Some(response) = &mut review.response {
        response.warnings = None;
        response.result.message = cut(&response.result.message);
        if let Some(details) = &mut response.result.details {
            details.causes = Vec::new();
            details.name = String::new();
        }
    }
    review
}

/// A claim that is created with its finalizer is bound with two writes instead of three.
fn add_finalizer(
    kind: ClaimKind,
    response: AdmissionResponse,
    write: Write,
    scope: &Scope,
) -> AdmissionResponse {
    let finalizer = kind.claim_finalizer();
    let there = write.new.pointer("/metadata/finalizers");
    let there = there.and_then(Value::as_array);
    let has_it = there.is_some_and(|all| all.iter().any(|f| f.as_str() == Some(finalizer)));
    let has_some = there.is_some();
    let is_create = write.old.is_none();
    if has_it || !is_create || !scope.serves(kind, write) {
        return response;
    }
    let add = if has_some {
        AddOperation {
            path: PointerBuf::from_tokens(["metadata", "finalizers", "-"]),
            value: finalizer.into(),
        }
    } else {
        AddOperation {
            path: PointerBuf::from_tokens(["metadata", "finalizers"]),
            value: vec![finalizer].into(),
        }
    };
    let patch = Patch(vec![PatchOperation::Add(add)]);
    // Text in, text out; were it to fail, the manager would put the finalizer in itself.
    response.clone().with_patch(patch).unwrap_or(response)
}

impl Scope {
    /// Whether the manager of this process gives an address to this claim.
    fn serves(&self, kind: ClaimKind, write: Write) -> bool {
        if self
            .namespace
            .as_ref()
            .is_some_and(|n| *n != write.namespace)
        {
            return false;
        }
        let label = write.new.pointer("/metadata/labels");
        let label = label.and_then(|labels| labels.get(names::WATCH_FILTER_LABEL)?.as_str());
        if self.watch_filter.is_some() && self.watch_filter.as_deref() != label {
            return false;
        }
        // The name and the UID of a new object may come later.
        let mut object = write.new;
        object["metadata"]["namespace"] = write.namespace.into();
        let Ok(object) = serde_json::from_value::<WireObject>(object) else {
            return false;
        };
        !object.metadata.is_deleting() && Claim::read(kind, object).fault.is_none()
    }
}

impl Write {
    /// The object's name, or the beginning of one that the server is about to complete; no longer than a name can be.
    fn name(&self) -> &str {
        let text = |path| self.new.pointer(path).and_then(Value::as_str);
        let name = text("/metadata/name").filter(|name| !name.is_empty());
        let name = name.or_else(|| text("/metadata/generateName"));
        head(name.unwrap_or_default(), names::MAX_OBJECT_NAME)
    }
}

/// The beginning of a text from outside, for a message.
fn cut(text: &str) -> String {
    const LONGEST: usize = 100;
    match head(text, LONGEST) {
        head if head.len() == text.len() => text.to_owned(),
        head => format!("{head}..."),
    }
}

/// So many characters at most.
fn head(text: &str, longest: usize) -> &str {
    match text.char_indices().nth(longest) {
        None => text,
        Some((end, _)) => &text[..end],
    }
}
