//! What a program of the AWS SDK for Rust does with a KMS; prints one line of JSON with what it saw.

use std::collections::HashMap;
use std::error::Error;

use aws_config::BehaviorVersion;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeySpec, KeyState, KeyUsageType, SigningAlgorithmSpec};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Endpoint, Region and credentials come from AWS_* variables; the CA is handed over here, as this SDK reads no variable for it.
async fn settings() -> Outcome<aws_config::SdkConfig> {
    let trusted = TrustStore::empty().with_pem_certificate(std::fs::read(std::env::var("AWS_CA_BUNDLE")?)?);
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(TlsContext::builder().with_trust_store(trusted).build()?)
        .build_https();
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await)
}

/// What the service refused with, where it was the service that refused.
fn refusal<T, E, R>(answer: Result<T, SdkError<E, R>>) -> Option<E> {
    match answer {
        Err(SdkError::ServiceError(refused)) => Some(refused.into_err()),
        _ => None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let settings = settings().await?;
    let kms = Client::new(&settings);
    let context = HashMap::from([("table".to_owned(), "orders".to_owned()), ("ключ".to_owned(), "значение".to_owned())]);

    let made = kms.create_key().description("Rust").send().await?;
    let key = made.key_metadata().ok_or("no metadata")?;
    let alias = format!("alias/rust-{}", key.key_id()); // no other key's
    kms.create_alias().alias_name(&alias).target_key_id(key.key_id()).send().await?;
    let answer = kms.describe_key().key_id(&alias).send().await?;
    let described = answer.key_metadata() == Some(key) && key.key_state() == Some(&KeyState::Enabled);

    let message = Blob::new("from Rust");
    let sealed = kms.encrypt().key_id(&alias).plaintext(message.clone());
    let sealed = sealed.set_encryption_context(Some(context.clone())).send().await?;
    let blob = sealed.ciphertext_blob().ok_or("no blob")?;
    let answer = kms.decrypt().ciphertext_blob(blob.clone()).set_encryption_context(Some(context)).send().await?;
    let opened = answer.plaintext() == Some(&message) && answer.key_id() == key.arn();

    let data_key = kms.generate_data_key().key_id(&alias).key_spec(DataKeySpec::Aes256).send().await?;
    let wrapped = data_key.ciphertext_blob().ok_or("no blob")?;
    let again = kms.decrypt().ciphertext_blob(wrapped.clone()).key_id(&alias).send().await?;
    let unwrapped = again.plaintext().is_some_and(|key| key.as_ref().len() == 32) && again.plaintext() == data_key.plaintext();

    let made = kms.create_key().key_spec(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify).send().await?;
    let signer = made.key_metadata().ok_or("no metadata")?.key_id();
    let algorithm = SigningAlgorithmSpec::EcdsaSha256;
    let signed = kms.sign().key_id(signer).message(message.clone()).signing_algorithm(algorithm.clone()).send().await?;
    let signature = signed.signature().ok_or("no signature")?;
    let verify = kms.verify().key_id(signer).signature(signature.clone()).signing_algorithm(algorithm);
    let verified = verify.clone().message(message.clone()).send().await?.signature_valid();
    let public = kms.get_public_key().key_id(signer).send().await?;
    let der = public.public_key().ok_or("no public key")?.as_ref();
    // A P-256 SubjectPublicKeyInfo ends in its point: 0x04 and two coordinates of 32 bytes (RFC 5480, 2.2)
    let point = der.get(der.len() - 65..).ok_or("no point")?;
    let ours = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, point);
    let verified_by_ring = ours.verify(message.as_ref(), signature.as_ref()).is_ok();

    let wrong_context = refusal(kms.decrypt().ciphertext_blob(blob.clone()).send().await);
    let missing = refusal(kms.describe_key().key_id("alias/nothing").send().await);
    let wrong_message = refusal(verify.message(Blob::new("another")).send().await);

    let mut pages = kms.list_keys().into_paginator().page_size(1).items().send();
    let mut ids = Vec::new();
    while let Some(entry) = pages.next().await {
        ids.extend(entry?.key_id);
    }

    let caller = aws_sdk_sts::Client::new(&settings).get_caller_identity().send().await?;
    let account = caller.account().ok_or("no account")?;

    let paged = [key.key_id(), signer].iter().all(|id| ids.iter().any(|listed| listed == id));
    let seen = json!({
        "described": described,
        "opened": opened,
        "dataKey": unwrapped,
        "verified": verified,
        "verifiedByRing": verified_by_ring,
        "wrongContext": wrong_context.is_some_and(|error| error.is_invalid_ciphertext_exception()),
        "missing": missing.is_some_and(|error| error.is_not_found_exception()
            && error.request_id().is_some()
            && error.message().is_some_and(|text| text.contains("alias/nothing is not found"))),
        "wrongMessage": wrong_message.is_some_and(|error| error.is_kms_invalid_signature_exception()),
        "paged": paged,
        "caller": caller.arn() == Some(format!("arn:aws:iam::{account}:root").as_str()),
    });
    println!("{seen}");
    Ok(())
}
