import dev.restate.sdk.Context;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Service;
import dev.restate.sdk.auth.signing.RestateRequestIdentityVerifier;
import dev.restate.sdk.endpoint.Endpoint;
import dev.restate.sdk.http.vertx.RestateHttpServer;

/** The smallest service of the Java SDK that checks request identity: Greeter PORT KEY */
@Service
public class Greeter {
  @Handler
  public String greet(Context context, String name) {
    return name;
  }

  public static void main(String[] arguments) {
    var identity = RestateRequestIdentityVerifier.fromKeys(arguments[1]);
    var endpoint = Endpoint.bind(new Greeter()).withRequestIdentityVerifier(identity);
    RestateHttpServer.listen(endpoint, Integer.parseInt(arguments[0]));
  }
}
