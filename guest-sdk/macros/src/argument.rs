//! A handler's arguments: what each one is, and the code that gets it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, GenericArgument, Ident, LitStr, Meta, Pat, PatType, PathArguments, Type};

use crate::errors::{Errors, list};
use crate::handler::Kind;

/// One argument of a handler.
pub(crate) struct Argument {
    source: Source,
    ty: Type,
}

/// Where an argument's value comes from.
enum Source {
    Data,
    Param(LitStr),
    Params,
    ConnectionId,
    MessageId,
    Event,
    Path,
    Raw,
    Request,
    Code,
    Reason,
}

/// The attributes by name, and the kinds of handler that have such a thing.
const ATTRIBUTES: [(&str, &[Kind]); 11] = [
    ("data", &[Kind::Message]),
    ("param", &[Kind::Message]),
    ("params", &[Kind::Message]),
    (
        "connection_id",
        &[Kind::Message, Kind::Connect, Kind::Disconnect],
    ),
    ("message_id", &[Kind::Message]),
    ("event", &[Kind::Message]),
    ("path", &[Kind::Message]),
    ("raw", &[Kind::Message]),
    (
        "request",
        &[
            Kind::Message,
            Kind::Upgrade,
            Kind::Connect,
            Kind::Disconnect,
        ],
    ),
    ("code", &[Kind::Disconnect]),
    ("reason", &[Kind::Disconnect]),
];

/// Whether an attribute is one of ours, right or wrong: the compiler itself knows but these for an
/// argument.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    ![
        "allow", "cfg", "cfg_attr", "deny", "expect", "forbid", "warn",
    ]
    .iter()
    .any(|name| attribute.path().is_ident(name))
}

impl Argument {
    /// Reads an argument of a handler.
    pub(crate) fn parse(argument: &PatType, kind: Kind, errors: &mut Errors) -> Option<Self> {
        let mut ours = argument.attrs.iter().filter(|attribute| is_ours(attribute));
        let Some(attribute) = ours.next() else {
            errors.on(
                argument,
                format!("what is this argument? Give it one of {}", available(kind)),
            );
            return None;
        };
        if let Some(second) = ours.next() {
            errors.on(second, "an argument is one thing: leave one attribute");
        }
        if let Type::ImplTrait(ty) = &*argument.ty {
            errors.on(ty, "a handler's arguments need concrete types");
            return None;
        }
        let source = Source::parse(attribute, &argument.pat, kind, errors)?;
        Some(Self {
            source,
            ty: (*argument.ty).clone(),
        })
    }

    /// The name of the parameter that it takes, if it takes one.
    pub(crate) fn param(&self) -> Option<&LitStr> {
        match &self.source {
            Source::Param(name) => Some(name),
            _ => None,
        }
    }

    /// The expression that gets the value, in a function whose argument is [`input`]; its errors
    /// leave by `?`.
    fn value(&self, kind: Kind) -> TokenStream {
        // What does not fit is reported at the type that the author wrote.
        let at = Span::call_site().located_at(self.ty.span());
        let input = input(at);
        let ty = &self.ty;
        let value = match &self.source {
            Source::Data => {
                return quote_spanned!(at=> ::wardroom_sdk::Message::data::<#ty>(#input)?);
            }
            Source::Param(name) => return self.param_value(name, at),
            Source::MessageId if contains_reference(ty) => return quote_spanned!(at=> #input.id()),
            Source::MessageId => return quote_spanned!(at=> #input.id().cloned()),
            Source::Code => return quote_spanned!(at=> #input.code),
            Source::ConnectionId => return quote_spanned!(at=> ::wardroom_sdk::connection().id()),
            Source::Raw => quote_spanned!(at=> ::wardroom_sdk::__private::handler::frame()),
            Source::Params => quote_spanned!(at=> #input.params()),
            Source::Event => quote_spanned!(at=> #input.event()),
            Source::Path => quote_spanned!(at=> #input.path()),
            Source::Reason => quote_spanned!(at=> #input.reason.as_str()),
            Source::Request if kind == Kind::Upgrade => quote_spanned!(at=> #input),
            Source::Request => quote_spanned!(at=> &::wardroom_sdk::connection().request()),
        };
        match (&self.source, is_reference(ty)) {
            (Source::Raw, false) | (_, true) => value,
            (Source::Params | Source::Request, false) => {
                quote_spanned!(at=> ::core::clone::Clone::clone(#value))
            }
            (_, false) => quote_spanned!(at=> ::core::convert::Into::into(#value)),
        }
    }

    fn param_value(&self, name: &LitStr, at: Span) -> TokenStream {
        let input = input(at);
        let handler = quote_spanned!(at=> ::wardroom_sdk::__private::handler);
        let ty = &self.ty;
        if is_reference(ty) {
            return quote_spanned!(at=> #handler::param_text(#input, #name)?);
        }
        match (inner(ty, "Option"), inner(ty, "Vec")) {
            (Some(inner), _) if is_reference(inner) => {
                quote_spanned!(at=> #input.params().get(#name))
            }
            (Some(inner), _) => {
                quote_spanned!(at=> #handler::param_option::<#inner>(#input, #name)?)
            }
            (_, Some(inner)) if is_reference(inner) => {
                quote_spanned!(at=> #input.params().all(#name).collect::<#ty>())
            }
            (_, Some(inner)) => quote_spanned!(at=> #handler::param_list::<#inner>(#input, #name)?),
            (None, None) => quote_spanned!(at=> #handler::param::<#ty>(#input, #name)?),
        }
    }

    /// A binding of the value to `name`, with the type that the author wrote.
    pub(crate) fn binding(&self, name: &Ident, kind: Kind) -> TokenStream {
        let (ty, value) = (&self.ty, self.value(kind));
        quote!(let #name: #ty = #value;)
    }
}

/// What the generated function calls that which it was called for. Always at the place that an
/// error should point to: the compiler underlines everything from the first to the last token of an
/// expression.
pub(crate) fn input(at: Span) -> Ident {
    Ident::new("__input", Span::call_site().located_at(at))
}

impl Source {
    fn parse(
        attribute: &Attribute,
        pattern: &Pat,
        kind: Kind,
        errors: &mut Errors,
    ) -> Option<Self> {
        let name = attribute.path().to_token_stream().to_string();
        let Some((_, kinds)) = ATTRIBUTES.iter().find(|(known, _)| *known == name) else {
            errors.on(
                attribute,
                format!(
                    "unknown argument attribute `#[{name}]`; one of {}",
                    available(kind)
                ),
            );
            return None;
        };
        if !kinds.contains(&kind) {
            errors.on(
                attribute,
                format!("{kind} has no `#[{name}]`; one of {}", available(kind)),
            );
            return None;
        }
        if name == "param" {
            return param_name(attribute, pattern, errors).map(Self::Param);
        }
        if !matches!(attribute.meta, Meta::Path(_)) {
            errors.on(&attribute.meta, format!("`#[{name}]` takes nothing"));
        }
        Some(match name.as_str() {
            "data" => Self::Data,
            "params" => Self::Params,
            "connection_id" => Self::ConnectionId,
            "message_id" => Self::MessageId,
            "event" => Self::Event,
            "path" => Self::Path,
            "raw" => Self::Raw,
            "request" => Self::Request,
            "code" => Self::Code,
            _ => Self::Reason,
        })
    }
}

/// The name in `#[param("name")]`, or the argument's own.
fn param_name(attribute: &Attribute, pattern: &Pat, errors: &mut Errors) -> Option<LitStr> {
    match (&attribute.meta, pattern) {
        (Meta::Path(_), Pat::Ident(argument)) => Some(LitStr::new(
            &argument.ident.unraw().to_string(),
            argument.ident.span(),
        )),
        (Meta::Path(_), _) => {
            errors.on(attribute, "which parameter? Say it: `#[param(\"name\")]`");
            None
        }
        (Meta::List(_) | Meta::NameValue(_), _) => {
            let name = attribute.parse_args();
            if name.is_err() {
                errors.on(
                    &attribute.meta,
                    "`#[param]` takes the name of one parameter: `#[param(\"name\")]`",
                );
            }
            name.ok()
        }
    }
}

/// The attributes that a kind of handler can have, as a list for people.
fn available(kind: Kind) -> String {
    let names: Vec<_> = ATTRIBUTES
        .iter()
        .filter(|(_, kinds)| kinds.contains(&kind))
        .map(|(name, _)| format!("#[{name}]"))
        .collect();
    list(names.iter().map(String::as_str))
}

fn is_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(_))
}

fn contains_reference(ty: &Type) -> bool {
    inner(ty, "Option").is_some_and(is_reference)
}

/// The `T` of a `Wrapper<T>`.
fn inner<'a>(ty: &'a Type, wrapper: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == wrapper)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) => Some(inner),
        _ => None,
    }
}
