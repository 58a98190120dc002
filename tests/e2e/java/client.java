// What a program of the AWS SDK for Java v2 does with a KMS; prints one line of JSON with what it saw.
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.awssdk.services.kms.model.DataKeySpec;
import software.amazon.awssdk.services.kms.model.InvalidCiphertextException;
import software.amazon.awssdk.services.kms.model.KeyMetadata;
import software.amazon.awssdk.services.kms.model.KeySpec;
import software.amazon.awssdk.services.kms.model.KeyState;
import software.amazon.awssdk.services.kms.model.KeyUsageType;
import software.amazon.awssdk.services.kms.model.KmsException;
import software.amazon.awssdk.services.kms.model.KmsInvalidSignatureException;
import software.amazon.awssdk.services.kms.model.NotFoundException;
import software.amazon.awssdk.services.kms.model.SigningAlgorithmSpec;
import software.amazon.awssdk.services.sts.StsClient;

class Client {
    /** The exception of AWS's class that a call throws, or null: another one is a failure of this program. */
    static <E extends KmsException> E refusal(Class<E> kind, Runnable call) {
        try {
            call.run();
        } catch (KmsException error) {
            return kind.isInstance(error) ? kind.cast(error) : null;
        }
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Boolean> seen = new LinkedHashMap<>();
        // Endpoint, Region and credentials come from AWS_* variables, the CA from javax.net.ssl.trustStore
        try (KmsClient kms = KmsClient.create(); StsClient sts = StsClient.create()) {
            Map<String, String> context = Map.of("table", "orders", "ключ", "значение");

            KeyMetadata key = kms.createKey(call -> call.description("Java")).keyMetadata();
            String alias = "alias/java-" + UUID.randomUUID();
            kms.createAlias(call -> call.aliasName(alias).targetKeyId(key.keyId()));
            KeyMetadata described = kms.describeKey(call -> call.keyId(alias)).keyMetadata();
            seen.put("described", described.equals(key) && described.keyState() == KeyState.ENABLED);

            SdkBytes message = SdkBytes.fromUtf8String("from Java");
            SdkBytes blob =
                kms.encrypt(call -> call.keyId(alias).plaintext(message).encryptionContext(context)).ciphertextBlob();
            var opened = kms.decrypt(call -> call.ciphertextBlob(blob).encryptionContext(context));
            seen.put("opened", opened.plaintext().equals(message) && opened.keyId().equals(key.arn()));

            var dataKey = kms.generateDataKey(call -> call.keyId(alias).keySpec(DataKeySpec.AES_256));
            var again = kms.decrypt(call -> call.ciphertextBlob(dataKey.ciphertextBlob()).keyId(alias));
            seen.put("dataKey", again.plaintext().equals(dataKey.plaintext()) && again.plaintext().asByteArray().length == 32);

            String signer = kms.createKey(call -> call.keySpec(KeySpec.ECC_NIST_P256).keyUsage(KeyUsageType.SIGN_VERIFY))
                .keyMetadata().keyId();
            SdkBytes signature = kms.sign(call -> call.keyId(signer).message(message)
                .signingAlgorithm(SigningAlgorithmSpec.ECDSA_SHA_256)).signature();
            seen.put("verified", kms.verify(call -> call.keyId(signer).message(message).signature(signature)
                .signingAlgorithm(SigningAlgorithmSpec.ECDSA_SHA_256)).signatureValid());
            byte[] der = kms.getPublicKey(call -> call.keyId(signer)).publicKey().asByteArray();
            Signature ours = Signature.getInstance("SHA256withECDSA");
            ours.initVerify(KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(der)));
            ours.update(message.asByteArray());
            seen.put("verifiedByJava", ours.verify(signature.asByteArray()));

            var wrongContext = refusal(InvalidCiphertextException.class,
                () -> kms.decrypt(call -> call.ciphertextBlob(blob).encryptionContext(Map.of("table", "others"))));
            seen.put("wrongContext", wrongContext != null && wrongContext.statusCode() == 400);
            var missing = refusal(NotFoundException.class, () -> kms.describeKey(call -> call.keyId("alias/nothing")));
            seen.put("missing", missing != null
                && missing.awsErrorDetails().errorMessage().contains("alias/nothing is not found")
                && missing.requestId() != null);
            var wrongMessage = refusal(KmsInvalidSignatureException.class, () -> kms.verify(call -> call.keyId(signer)
                .message(SdkBytes.fromUtf8String("another")).signature(signature)
                .signingAlgorithm(SigningAlgorithmSpec.ECDSA_SHA_256)));
            seen.put("wrongMessage", wrongMessage != null);

            var ids = kms.listKeysPaginator(call -> call.limit(1)).keys().stream()
                .map(entry -> entry.keyId()).collect(Collectors.toList());
            seen.put("paged", ids.containsAll(Arrays.asList(key.keyId(), signer)));

            var caller = sts.getCallerIdentity();
            seen.put("caller", caller.arn().equals("arn:aws:iam::" + caller.account() + ":root")
                && key.arn().contains(":" + caller.account() + ":"));
        }
        System.out.println(seen.entrySet().stream()
            .map(entry -> "\"" + entry.getKey() + "\": " + entry.getValue()).collect(Collectors.joining(", ", "{", "}")));
    }
}
