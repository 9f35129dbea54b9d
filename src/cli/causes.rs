//! An error with its causes, in one line.

/// What went wrong and why, from the outermost to the innermost. A cause that the text before it ends with is not said again.
pub(in crate::cli) fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = match cause.downcast_ref::<kube::Error>() {
            // Its own text has the whole status in it.
            Some(kube::Error::Api(status)) => status.to_string(),
            Some(_) | None => cause.to_string(),
        };
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::causes;

    /// Errors of others often have their cause in their own text too.
    #[derive(Debug, thiserror::Error)]
    #[error("listening on 127.0.0.1:1: {source}")]
    struct Listen {
        source: std::fmt::Error,
    }

    #[test]
    fn each_cause_is_said_once() {
        let listen = || Listen {
            source: std::fmt::Error,
        };
        let inner = std::fmt::Error.to_string();
        let said = format!("listening on 127.0.0.1:1: {inner}");
        assert_eq!(causes(&listen().into()), said);
        let outer = Err::<(), _>(listen()).context("cannot listen");
        assert_eq!(
            causes(&outer.unwrap_err()),
            format!("cannot listen: {said}")
        );
        let apart = anyhow!("why").context("what");
        assert_eq!(causes(&apart), "what: why");
    }
}
