// What a program of the AWS SDK for Go does with a KMS; prints one line of JSON with what it saw.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	client := kms.NewFromConfig(must(config.LoadDefaultConfig(ctx))) // all of it from AWS_* variables
	seen := map[string]bool{}
	encryptionContext := map[string]string{"table": "orders", "ключ": "значение"}

	key := must(client.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String("Go")})).KeyMetadata
	suffix := make([]byte, 8)
	must(rand.Read(suffix))
	alias := aws.String("alias/go-" + hex.EncodeToString(suffix))
	must(client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: key.KeyId}))
	described := must(client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias}))
	seen["described"] = *described.KeyMetadata.Arn == *key.Arn && !described.KeyMetadata.CreationDate.IsZero()

	message := []byte("from Go")
	sealed := must(client.Encrypt(ctx, &kms.EncryptInput{KeyId: alias, Plaintext: message, EncryptionContext: encryptionContext}))
	opened := must(client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: encryptionContext}))
	seen["opened"] = bytes.Equal(opened.Plaintext, message)

	dataKey := must(client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: alias, KeySpec: types.DataKeySpecAes256}))
	again := must(client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: dataKey.CiphertextBlob, KeyId: alias}))
	seen["dataKey"] = len(dataKey.Plaintext) == 32 && bytes.Equal(again.Plaintext, dataKey.Plaintext)

	signer := must(client.CreateKey(ctx, &kms.CreateKeyInput{
		KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify,
	})).KeyMetadata.KeyId
	signature := must(client.Sign(ctx, &kms.SignInput{
		KeyId: signer, Message: message, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
	})).Signature
	seen["verified"] = must(client.Verify(ctx, &kms.VerifyInput{
		KeyId: signer, Message: message, Signature: signature, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
	})).SignatureValid
	der := must(client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: signer})).PublicKey
	public := must(x509.ParsePKIXPublicKey(der)).(*ecdsa.PublicKey)
	digest := sha256.Sum256(message)
	seen["verifiedByGo"] = ecdsa.VerifyASN1(public, digest[:], signature)

	var wrongContext *types.InvalidCiphertextException
	_, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	seen["wrongContext"] = errors.As(err, &wrongContext)
	var missing *types.NotFoundException
	_, err = client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/nothing")})
	seen["missing"] = errors.As(err, &missing)

	count := 0
	for pages := kms.NewListKeysPaginator(client, &kms.ListKeysInput{Limit: aws.Int32(1)}); pages.HasMorePages(); {
		count += len(must(pages.NextPage(ctx)).Keys)
	}
	seen["paged"] = count >= 2
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		log.Fatal(err)
	}
}
