import dev.restate.sdk.Context;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Service;
import dev.restate.sdk.auth.signing.RestateRequestIdentityVerifier;
import dev.restate.sdk.endpoint.Endpoint;
import dev.restate.sdk.http.vertx.RestateHttpServer;

/** The smallest service of the Java SDK that checks request identity, or with no key does not: Greeter PORT [KEY] */
@Service
public class Greeter {
  @Handler
  public String greet(Context context, String name) {
    return name;
  }

  public static void main(String[] arguments) {
    var endpoint = Endpoint.bind(new Greeter());
    if (arguments.length > 1) {
      endpoint.withRequestIdentityVerifier(RestateRequestIdentityVerifier.fromKeys(arguments[1]));
    }
    RestateHttpServer.listen(endpoint, Integer.parseInt(arguments[0]));
  }
}
