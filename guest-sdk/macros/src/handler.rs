//! A method of a controller that handles something.

use std::fmt;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, FnArg, Ident, ImplItemFn, LitStr, Receiver, ReturnType, Signature, Token, Type,
};

use crate::argument::{Argument, input, is_ours};
use crate::errors::Errors;
use crate::pattern;

/// What a handler is called for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Upgrade,
    Connect,
    Disconnect,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "a message handler",
            Self::Upgrade => "an upgrade handler",
            Self::Connect => "a connect handler",
            Self::Disconnect => "a disconnect handler",
        })
    }
}

/// An event and a path that lead to a handler.
pub(crate) struct Route {
    pub(crate) event: LitStr,
    pub(crate) path: LitStr,
}

/// A method with all that its attributes say.
pub(crate) struct Handler {
    pub(crate) kind: Kind,
    pub(crate) routes: Vec<Route>,
    /// `#[cfg]`s, which what is generated for the handler has to share.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) takes_self: bool,
    name: Ident,
    guards: Vec<Expr>,
    arguments: Vec<Argument>,
    returns: ReturnType,
}

/// The last word of an attribute of this crate: `message` of both `#[message]` and
/// `#[wardroom_sdk::message]`.
pub(crate) fn word(attribute: &Attribute) -> Option<String> {
    let mut segments = attribute.path().segments.iter();
    let first = segments.next()?;
    let word = match segments.next() {
        Some(second) if first.ident == "wardroom_sdk" => second,
        Some(_) => return None,
        None => first,
    };
    Some(word.ident.to_string())
}

impl Handler {
    /// Takes this crate's attributes off a method and reads them; `None` for a method that handles
    /// nothing.
    pub(crate) fn take(method: &mut ImplItemFn, prefix: &str, errors: &mut Errors) -> Option<Self> {
        let marks = Marks::take(method, errors);
        let arguments = take_arguments(&mut method.sig);
        let Some(kind) = marks.kind else {
            complain_of_strays(&marks, &arguments, errors);
            return None;
        };
        check_signature(&method.sig, kind, errors);
        if kind != Kind::Message {
            for guard in &marks.guards {
                errors.on(
                    guard,
                    format!("a guard goes before messages, and this is {kind}: decide in its body"),
                );
            }
        }
        let arguments: Vec<_> = arguments
            .iter()
            .filter_map(|argument| Argument::parse(argument, kind, errors))
            .collect();
        for route in &marks.routes {
            check_route(route, prefix, &arguments, errors);
        }
        Some(Self {
            kind,
            routes: marks.routes,
            cfgs: method
                .attrs
                .iter()
                .filter(|attribute| attribute.path().is_ident("cfg"))
                .cloned()
                .collect(),
            takes_self: method.sig.receiver().is_some(),
            name: method.sig.ident.clone(),
            guards: marks.guards,
            arguments,
            returns: method.sig.output.clone(),
        })
    }

    /// The name of the function that [`code`](Self::code) makes.
    pub(crate) fn entry(&self) -> Ident {
        format_ident!("__wardroom_{}", self.name.unraw())
    }

    /// The function that the tables of the controller point to: guards, arguments, the call, the
    /// reply.
    pub(crate) fn code(&self, controller_guards: &[Expr]) -> TokenStream {
        let Self {
            kind,
            cfgs,
            name,
            arguments,
            ..
        } = self;
        let entry = self.entry();
        let names: Vec<_> = (0..arguments.len())
            .map(|index| format_ident!("__argument_{index}"))
            .collect();
        let bindings = arguments
            .iter()
            .zip(&names)
            .map(|(argument, name)| argument.binding(name, *kind));
        let guards = controller_guards.iter().chain(&self.guards).map(|guard| {
            let at = Span::call_site().located_at(guard.span());
            let input = input(at);
            quote_spanned!(at=> ::wardroom_sdk::__private::handler::guard(#guard, #input)?;)
        });
        let guards = guards.filter(|_| *kind == Kind::Message);
        let at = Span::call_site().located_at(self.returned_span());
        let call = match self.takes_self {
            true => {
                quote_spanned!(at=> Self::__wardroom_instance(|this| Self::#name(this, #(#names),*)))
            }
            false => quote_spanned!(at=> Self::#name(#(#names),*)),
        };
        let answer = self.answer(&call, at);
        let input = input(Span::call_site());
        let private = quote!(::wardroom_sdk::__private);
        let signature = match kind {
            Kind::Message => quote!((#input: &::wardroom_sdk::Message) -> #private::Reply),
            Kind::Upgrade => quote!((#input: &::wardroom_sdk::Request) -> #private::Claims),
            Kind::Connect => quote!(() -> #private::Outcome),
            Kind::Disconnect => quote!((#input: &#private::Disconnect) -> #private::Outcome),
        };
        // A handler need not look at what it was called for.
        let ignore = (*kind != Kind::Connect).then(|| quote!(let _ = #input;));
        quote! {
            #(#cfgs)*
            #[doc(hidden)]
            fn #entry #signature {
                #ignore
                #(#guards)*
                #(#bindings)*
                #answer
            }
        }
    }

    /// The call and what becomes of its value.
    fn answer(&self, call: &TokenStream, at: Span) -> TokenStream {
        let handler = quote_spanned!(at=> ::wardroom_sdk::__private::handler);
        let none = quote!(::core::option::Option::None);
        let answer = match self.kind {
            Kind::Connect | Kind::Disconnect if self.returns_nothing() => {
                return quote_spanned!(at=> #call; ::core::result::Result::Ok(()));
            }
            Kind::Connect | Kind::Disconnect => {
                return quote_spanned!(at=> #handler::outcome(#call));
            }
            Kind::Message | Kind::Upgrade if self.returns_nothing() => {
                return quote_spanned!(at=> #call; ::core::result::Result::Ok(#none));
            }
            Kind::Message => quote_spanned!(at=> #handler::reply),
            Kind::Upgrade => quote_spanned!(at=> #handler::claims),
        };
        let how = match &self.returns {
            ReturnType::Type(_, ty) if is_result(ty) => quote_spanned!(at=> #handler::Fallible),
            _ => quote_spanned!(at=> _),
        };
        quote_spanned!(at=> #answer::<#how>(#call))
    }

    fn returns_nothing(&self) -> bool {
        match &self.returns {
            ReturnType::Default => true,
            ReturnType::Type(_, ty) => {
                matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty())
            }
        }
    }

    fn returned_span(&self) -> Span {
        match &self.returns {
            ReturnType::Default => self.name.span(),
            ReturnType::Type(_, ty) => ty.span(),
        }
    }
}

/// What the attributes of a method say.
#[derive(Default)]
struct Marks {
    kind: Option<Kind>,
    routes: Vec<Route>,
    guards: Vec<Expr>,
}

impl Marks {
    fn take(method: &mut ImplItemFn, errors: &mut Errors) -> Self {
        let mut marks = Self::default();
        let name = method.sig.ident.clone();
        let attributes = std::mem::take(&mut method.attrs);
        for attribute in attributes {
            let kind = match word(&attribute).as_deref() {
                Some("message") => Kind::Message,
                Some("upgrade") => Kind::Upgrade,
                Some("connect") => Kind::Connect,
                Some("disconnect") => Kind::Disconnect,
                Some("guard") => {
                    marks.guards.extend(parse_guard(&attribute, errors));
                    continue;
                }
                _ => {
                    method.attrs.push(attribute);
                    continue;
                }
            };
            match marks.kind {
                Some(other) if other != kind => {
                    errors.on(
                        &attribute,
                        format!("this is {other} already: write a method for each"),
                    );
                    continue;
                }
                _ => marks.kind = Some(kind),
            }
            if kind == Kind::Message {
                marks.routes.extend(parse_route(&attribute, &name, errors));
            } else if !matches!(attribute.meta, syn::Meta::Path(_)) {
                errors.on(
                    &attribute.meta,
                    format!("`#[{}]` takes nothing", attribute.path().to_token_stream()),
                );
            }
        }
        marks
    }
}

/// Reads `#[guard(function)]`.
pub(crate) fn parse_guard(attribute: &Attribute, errors: &mut Errors) -> Option<Expr> {
    let guard = attribute.parse_args();
    if guard.is_err() {
        let usage = "`#[guard]` takes a function, `fn(&Message) -> Result<(), WsError>`: \
                     `#[guard(members_only)]`";
        errors.on(&attribute.meta, usage);
    }
    guard.ok()
}

fn parse_route(attribute: &Attribute, method: &Ident, errors: &mut Errors) -> Option<Route> {
    let words = attribute
        .parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)
        .unwrap_or_default();
    let mut words = words.into_iter();
    let (Some(event), path, None) = (words.next(), words.next(), words.next()) else {
        let usage = "`#[message]` takes an event and a path: `#[message(\"join\", \":room\")]`; \
                     without a path the method's name is the path";
        errors.on(&attribute.meta, usage);
        return None;
    };
    let path = path.unwrap_or_else(|| LitStr::new(&method.unraw().to_string(), method.span()));
    Some(Route { event, path })
}

/// The arguments with their attributes, which do not stay on the method.
fn take_arguments(signature: &mut Signature) -> Vec<syn::PatType> {
    let mut arguments = Vec::new();
    for parameter in &mut signature.inputs {
        if let FnArg::Typed(argument) = parameter {
            arguments.push(argument.clone());
            argument.attrs.retain(|attribute| !is_ours(attribute));
        }
    }
    arguments
}

/// A method without a mark for what it handles should have none of the others.
fn complain_of_strays(marks: &Marks, arguments: &[syn::PatType], errors: &mut Errors) {
    let hint = "the method has no `#[message]`, `#[upgrade]`, `#[connect]` or `#[disconnect]`";
    for guard in &marks.guards {
        errors.on(guard, format!("nothing to guard: {hint}"));
    }
    for attribute in arguments
        .iter()
        .flat_map(|argument| &argument.attrs)
        .filter(|attribute| is_ours(attribute))
    {
        errors.on(attribute, format!("nothing to take this from: {hint}"));
    }
}

fn check_signature(signature: &Signature, kind: Kind, errors: &mut Errors) {
    if let Some(asyncness) = &signature.asyncness {
        errors.on(
            asyncness,
            format!("{kind} is not `async`: what it asks of the host is answered at once"),
        );
    }
    if let Some(receiver) = signature.receiver().filter(|receiver| !is_shared(receiver)) {
        errors.on(
            receiver,
            format!(
                "{kind} takes `&self` or no `self`: keep what changes in the host, \
                 or in a `Cell` if it may get lost"
            ),
        );
    }
    if !signature.generics.params.is_empty() {
        errors.on(
            &signature.generics,
            format!("{kind} cannot be generic; a lifetime can be left out or be `'_`"),
        );
    }
}

fn is_shared(receiver: &Receiver) -> bool {
    receiver.reference.is_some() && receiver.mutability.is_none() && receiver.colon_token.is_none()
}

fn check_route(route: &Route, prefix: &str, arguments: &[Argument], errors: &mut Errors) {
    match route.event.value().len() {
        1..=128 => {}
        0 => errors.on(&route.event, "an event has a name"),
        length => errors.on(
            &route.event,
            format!("an event has 128 bytes at most, this one has {length}"),
        ),
    }
    let path = route.path.value();
    if path.len() > 1024 {
        errors.on(
            &route.path,
            format!("a path has 1024 bytes at most, this one has {}", path.len()),
        );
    }
    let names = match (pattern::names(prefix), pattern::names(&path)) {
        (Ok(prefix), Ok(path)) => [prefix, path].concat(),
        // Reported once, with the controller.
        (Err(_), _) => return,
        (_, Err(problem)) => return errors.on(&route.path, problem),
    };
    for wanted in arguments.iter().filter_map(Argument::param) {
        if !names.contains(&wanted.value()) {
            let (name, event) = (wanted.value(), route.event.value());
            let known = match names.as_slice() {
                [] => "no parameters".to_owned(),
                names => crate::errors::list(names.iter().map(String::as_str)),
            };
            errors.on(
                wanted,
                format!("the path of `{event}` has no `{name}`; it has {known}"),
            );
        }
    }
}

fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "Result")
}
