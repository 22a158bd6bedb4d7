//! What lies outside: a test answers the HTTP requests of its plugin.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::error::HostError;
use crate::http::{Request, Response};

/// How a test answers.
type Answer = dyn Fn(&Request) -> Result<Response, HostError>;

/// Who answers the requests of a plugin: nobody, unless the test does.
#[derive(Default)]
pub(super) struct Web(RefCell<Option<Rc<Answer>>>);

impl Web {
    pub(super) fn answer_with(
        &self,
        answer: impl Fn(&Request) -> Result<Response, HostError> + 'static,
    ) {
        *self.0.borrow_mut() = Some(Rc::new(answer));
    }

    pub(super) fn send(&self, request: &Request) -> Result<Response, HostError> {
        // Not borrowed while the test's code runs.
        let answer = self.0.borrow().clone();
        let answer = answer.ok_or_else(|| {
            let text = "nobody answers HTTP requests in this test: see Server::on_http";
            HostError::Denied(text.to_owned())
        })?;
        answer(request)
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}
